"""The worker's daily look at each custom domain that works: whoever no longer has the name shall not have its customers."""

import logging
import time

from flask import current_app
from sqlalchemy import select

from portal_site.billing.errors import NotFound
from portal_site.billing.models import CustomDomain
from portal_site.db.transactions import reading, transaction
from portal_site.domains import custom_domains
from portal_site.domains.custom_domains import AGAIN, DAY, MOST_FAILURES, Finding
from portal_site.domains.dns import Dns, Unanswered
from portal_site.web import hosts

# In seconds.
BUDGET = 10  # for one run, after which billing waits; what is left is due in the next one
CLAIM = 10 * 60  # after that, another worker takes what one has died over
UNSCOPED = {"unscoped": "the worker looks at the domains of all merchants"}
log = logging.getLogger("portal.worker")


def check_due(dns: Dns, at: int) -> int:
    """Check the domains that are due, one after the other; how many were. Several workers never check the same."""
    count, until = 0, time.monotonic() + BUDGET
    while time.monotonic() < until and (domain := _claim(at)) is not None:
        _recheck(dns, domain, at)
        count += 1
    return count


def disabled() -> list[CustomDomain]:
    """The domains that were switched off and that nobody has removed. The rows belong to no transaction."""
    query = select(CustomDomain).where(CustomDomain.disabled_at.is_not(None)).order_by(CustomDomain.host)
    with reading() as reader:
        return [CustomDomain(**row._mapping) for row in reader.execute(query.execution_options(**UNSCOPED))]


def _claim(at: int) -> CustomDomain | None:
    """Take the domain that is due first, for some minutes. Without one nothing is locked."""
    is_due = CustomDomain.check_due_at <= at
    with reading() as reader:
        first = reader.scalar(select(CustomDomain.account_id).where(is_due).limit(1).execution_options(**UNSCOPED))
    if first is None:
        return None
    query = select(CustomDomain).where(is_due).order_by(CustomDomain.check_due_at, CustomDomain.account_id).limit(1)
    query = query.with_for_update(skip_locked=True).execution_options(populate_existing=True, **UNSCOPED)
    with transaction() as session:
        row = session.scalar(query)
        if row is not None:
            row.check_due_at = at + CLAIM
        return row


def _recheck(dns: Dns, domain: CustomDomain, at: int) -> None:
    finding = custom_domains.look(dns, domain)
    if finding in (Finding.MISSING, Finding.DIFFERENT) and not _is_believable(dns):
        finding = Finding.UNANSWERED
    with transaction() as session:
        try:
            row = custom_domains.get_same(session, domain)
        except NotFound:  # it was removed meanwhile
            return
        if not row.works:
            return
        custom_domains.note(session, row, finding, at)
        if finding == Finding.UNANSWERED:
            row.check_due_at = at + AGAIN
        elif finding != Finding.FOUND:
            row.failures += 1
            is_over = row.failures >= MOST_FAILURES
            row.check_due_at, row.disabled_at = (None, at) if is_over else (at + DAY, None)
            if is_over:
                custom_domains.tell(session, "custom_domain.disabled", row, at)
    if row.disabled_at is not None:
        hosts.lookups().forget()
        log.error("the custom domain %s is switched off: its TXT record is %s", domain.host, finding)


def _is_believable(dns: Dns) -> bool:
    """Whether who says that a record is not there knows the portal's own host. A resolver that is cut off denies everything."""
    own = current_app.config["SETTINGS"].hosts[0]
    try:
        return own.replace(".", "").isdigit() or dns.leads_to(own, own) is not None
    except Unanswered:
        return False

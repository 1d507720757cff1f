"""From a notice to an e-mail for the outbox, if there is anybody who gets it and it is still so."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from portal_site.db.faults import is_of_surroundings
from portal_site.mail import rendering
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content
from portal_site.notices import recipients
from portal_site.notices.kinds import Kind
from portal_site.notices.recipients import Recipient
from portal_site.notices.texts import TEXTS
from portal_site.notices.texts.context import Context, finished
from portal_site.notices.triggers import Notice
from portal_site.portal.access import visitors

DAY = 24 * 60 * 60
STALE = 3 * DAY  # seconds after which what happened is no news any more: e-mail was off, or no worker ran
LIFE = 7 * DAY  # for which it is worth being delivered
log = logging.getLogger("portal.mail")


@dataclass(frozen=True)
class Written:
    """An e-mail, ready for the outbox."""

    draft: Draft
    content: Content


def write_all(notices: Sequence[Notice], at: int, *, stays_local: bool) -> list[Written]:
    """The e-mails of these notices. One that fails is logged, and does not keep the others."""
    found = []
    for notice in notices:
        try:
            written = write(notice, at, stays_local=stays_local)
        except Exception as error:  # one merchant's broken rows must not keep the others' customers waiting
            if is_of_surroundings(error):
                raise
            log.exception("the e-mail %s cannot be written", notice.key)
        else:
            found += [written] if written is not None else []
    return found


def write(notice: Notice, at: int, *, stays_local: bool) -> Written | None:
    """The e-mail of one notice; None if nobody is to get it, or what it says is not so any more.

    `stays_local` says that it does not leave, so that in test mode it may have any address.
    """
    recipient = recipients.find(notice)
    if recipient is None or not _is_wanted(notice, recipient, at):
        return None
    own = notice.values.get(str(notice.values.get("to"))) if notice.kind == Kind.EMAIL_CHANGED else recipient.email
    to, cc = recipients.addresses(recipient, notice.kind, own, stays_local=stays_local)
    if not to:
        return None
    visitor = visitors.find_without_session(notice.account_id, recipient.customer_id, recipient.on_behalf_of)
    if visitor is None:
        return None
    with rendering.in_language_of(visitor):
        context = Context(notice, visitor, visitor.time(at), at)
        message = TEXTS[notice.kind](context)
        if message is None:
            return None
        content = rendering.render(finished(message, context, recipient.texts), visitor.business_name, visitor.branding)
    until = notice.until if notice.until is not None and not recipient.has_clock else at + LIFE
    draft = Draft(
        notice.account_id, notice.livemode, notice.kind, notice.key, to, cc,
        customer_id=recipient.customer_id, expires_at=until,
    )  # fmt: skip
    return Written(draft, content)


def _is_wanted(notice: Notice, recipient: Recipient, at: int) -> bool:
    settings = recipient.settings[notice.kind]
    if notice.until is not None and notice.until <= at and not recipient.has_clock:
        return False
    # Who cancels without logging in has nothing else to show for it.
    is_needed = notice.kind == Kind.CANCELLATION_CONFIRMED and recipient.can_cancel_without_login
    if not (settings.enabled or is_needed) or notice.kind in recipient.muted:
        return False
    happened_at = notice.happened_at
    # Customers on a test clock have a time of their own.
    if happened_at is not None and not recipient.has_clock and happened_at < at - STALE:
        return False
    if notice.kind == Kind.TRIAL_ENDING and happened_at is not None:
        # At the start of a trial only where the account's own reminder would come too late.
        return bool(notice.values["ends_at"] - happened_at < max(settings.days) * DAY)
    if notice.kind == Kind.RENEWAL_AHEAD:
        long_enough = notice.values["period"] >= settings.least_period * DAY
        return long_enough and notice.values["days"] in settings.days
    return not notice.is_reminder or notice.values["days"] in settings.days

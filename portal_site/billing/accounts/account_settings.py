"""Changing an account's own settings: public details, branding, retries of payments, hosts of return URLs."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.accounts import accounts, versions
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.models import Account, BrandAsset
from portal_site.billing.models.columns import values
from portal_site.billing.resources import accounts as shapes
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.portal import safe_urls
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

# The columns that are settings: those that are compared, kept as history and gone back to.
SETTINGS = (
    "business_name", "support_email", "support_phone", "support_url", "privacy_policy_url", "terms_of_service_url",
    "timezone", "address", "return_hosts", "dunning", "branding", "notices", "email_texts", "logo_id", "icon_id",
    "email_link_days",
)  # fmt: skip
LINKS = ("support_url", "privacy_policy_url", "terms_of_service_url")
MOST_HOSTS = 50
LONGEST_LIFE = 90  # days for which links in e-mails may work
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def get(account_id: str) -> Account:
    """The account. Raises NotFound."""
    with transaction() as session:
        return _get(session, account_id)


def _get(session: Session, account_id: str, *, lock: bool = False) -> Account:
    query = select(Account).where(Account.id == account_id)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("No such account: '%(id)s'", "resource_missing", "account", id=account_id)
    return row


def settings_of(row: Account) -> JsonObject:
    """The settings of an account; all members of its dunning are named."""
    policy = DunningPolicy.of(row.dunning or {})
    dunning = {
        "retry_days": list(policy.retry_days), "then": policy.then, "write_off": policy.write_off,
        "amount_owed": policy.amount_owed, "disputed": policy.disputed,
    }  # fmt: skip
    return {**values(row, *SETTINGS), "dunning": dunning}


def _check_name(name: str) -> None:
    if not name or len(name) > accounts.LONGEST_NAME:
        raise BillingError(
            "Enter a name of up to %(count)s characters.", param="business_name", count=accounts.LONGEST_NAME
        )


def _check_zone(zone: str) -> None:
    if zone not in accounts.TIMEZONES:
        raise BillingError("Choose a time zone.", param="timezone")


def _check_email(address: str | None) -> None:
    """Answers to e-mails go there."""
    try:
        if address:
            validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise BillingError("Enter an email address such as name@example.com.", param="support_email") from None


def _check_address(address: Mapping[str, Any] | None) -> None:
    country = (address or {}).get("country")
    if country and country not in accounts.COUNTRIES:
        raise BillingError("Choose a country.", param="country")


def _check_hosts(hosts: Sequence[str]) -> None:
    if len(hosts) > MOST_HOSTS:
        raise BillingError("Use at most %(count)s hosts.", param="return_hosts", count=MOST_HOSTS)
    for host in hosts:
        if not HOST.fullmatch(host):
            raise BillingError("%(host)s is not a host such as app.example.com.", param="return_hosts", host=host)


def _check_dunning(document: Mapping[str, Any]) -> None:
    try:
        DunningPolicy.of(document)
    except ValueError:
        raise BillingError("Use at most eight retries, each after 1 to 60 days.", param="retry_days") from None


def _check_days(days: int) -> None:
    if not 1 <= days <= LONGEST_LIFE:
        raise BillingError("Choose from 1 to %(count)s days.", param="email_link_days", count=LONGEST_LIFE)


def _check_link(name: str) -> Callable[[str | None], None]:
    def check(address: str | None) -> None:
        if address:
            safe_urls.check(address, name)

    return check


# Only what is changed is checked: what an import brought must not keep somebody from changing something else.
_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "business_name": _check_name, "timezone": _check_zone, "support_email": _check_email, "address": _check_address,
    "return_hosts": _check_hosts, "dunning": _check_dunning, "email_link_days": _check_days,
    **{name: _check_link(name) for name in LINKS},
}  # fmt: skip


def change(account_id: str, version: int, changed: Mapping[str, Any], at: int) -> Account:
    """Store changed settings, complete ones for each name. `version` is that of the settings that were changed.

    The members of `branding` are checked by `branding.theme.parse`, those of `email_texts` by `mail.own_words.refusal`, which
    callers do: the engine knows neither colours nor e-mails. Raises NotFound, EditConflict if they have been changed since, and
    BillingError for what cannot be.
    """
    if unknown := changed.keys() - set(SETTINGS):
        raise ValueError(f"no settings: {', '.join(sorted(unknown))}")
    with transaction() as session:
        return _change(session, account_id, version, changed, at)


def _change(session: Session, account_id: str, version: int, changed: Mapping[str, Any], at: int) -> Account:
    row = _get(session, account_id, lock=True)
    before = settings_of(row)
    versions.check(row, version, before)
    after = {**before, **changed}
    if after != before:
        for name, check in _CHECKS.items():
            if after[name] != before[name]:
                check(after[name])
        shown = shapes.account(row)
        versions.store(session, row, account_id, before, after, at)
        now = shapes.account(row)
        previous = {name: value for name, value in shown.items() if value != now[name]}
        versions.describe(now, previous, before, after)
        emit(session, "account.updated", OfAccount(account_id), at, document=now, previous=previous)
    return row


def restore(account_id: str, version: int, former: int, at: int) -> Account:
    """Go back to the settings of a former version, as a change of the current `version`. Raises as `change` does."""
    return change(account_id, version, versions.settings_at(account_id, account_id, former, SETTINGS), at)


def set_picture(account_id: str, kind: str, picture: Any | None, at: int) -> Account:
    """Store a checked logo (`branding.logos.Logo`) as the account's `logo` or `icon`; None takes it away.

    Former pictures stay, since browsers and e-mails refer to them, and former settings can be restored.
    """
    with transaction() as session:
        row = _get(session, account_id, lock=True)
        asset_id = None
        if picture is not None:
            asset = BrandAsset(
                id=new_id("file"), account_id=account_id, created=at, content_type=picture.content_type,
                data=picture.data, width=picture.width, height=picture.height,
            )  # fmt: skip
            session.add(asset)
            session.flush()
            asset_id = asset.id
        return _change(session, account_id, row.version, {f"{kind}_id": asset_id}, at)

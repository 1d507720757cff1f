"""An account's settings for its e-mails: each kind on or off, when reminders come, and how long links work."""

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.db.transactions import transaction
from portal_site.notices.kinds import Kind, KindSettings, Settings

LONGEST_LINKS = 90  # days


def change(
    account_id: str | None,
    kind: Kind,
    *,
    enabled: bool | None = None,
    days: tuple[int, ...] | None = None,
    least_period: int | None = None,
) -> KindSettings:
    """Change what is given of a kind's settings, and return them. Raises BillingError for days that make no sense."""
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        before = Settings.of(account.notices)
        own = before[kind]
        settings = KindSettings(
            own.enabled if enabled is None else enabled,
            own.days if days is None else days,
            own.least_period if least_period is None else least_period,
        )
        account.notices = before.changed(kind, settings)
    return settings


def of_account(account_id: str | None) -> Settings:
    """The settings of an account. Raises BillingError."""
    with transaction() as session:
        return Settings.of(ownership.get_account(session, account_id).notices)


def set_link_days(account_id: str | None, days: int) -> None:
    """Let links in e-mails work for so many days. Raises BillingError for none, and for too many."""
    if not 1 <= days <= LONGEST_LINKS:
        raise BillingError(f"Links can work for 1 to {LONGEST_LINKS} days.")
    with transaction() as session:
        ownership.get_account(session, account_id).email_link_days = days

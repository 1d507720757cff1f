"""The kinds of e-mails to customers, and an account's settings for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from portal_site.billing.errors import BillingError


class Kind(StrEnum):
    """What an e-mail is about."""

    TRIAL_ENDING = "trial_ending"
    RENEWAL_AHEAD = "renewal_ahead"
    PAYMENT_FAILED = "payment_failed"
    AUTHENTICATION_NEEDED = "authentication_needed"
    CARD_EXPIRING = "card_expiring"
    INVOICE_FINALIZED = "invoice_finalized"
    UNPAID_REMINDER = "unpaid_reminder"
    RECEIPT = "receipt"
    CANCELLATION_CONFIRMED = "cancellation_confirmed"
    SUBSCRIPTION_ENDED = "subscription_ended"
    CHANGE_CONFIRMED = "change_confirmed"
    PAUSE_BEGUN = "pause_begun"
    PAUSE_ENDING = "pause_ending"
    EMAIL_CHANGED = "email_changed"
    REFUND = "refund"


# How many days before its date a reminder comes; after it, if negative. Customers can turn reminders off for themselves.
REMINDERS: Mapping[Kind, tuple[int, ...]] = {
    Kind.TRIAL_ENDING: (7,),
    Kind.RENEWAL_AHEAD: (7,),
    Kind.CARD_EXPIRING: (30,),
    Kind.UNPAID_REMINDER: (3, 0, -7),
    Kind.PAUSE_ENDING: (3,),
}
# What a merchant's own words in an e-mail can name. An e-mail about a changed address does not say whose it is: it goes to the
# former one, too, whose owner may be somebody else by now.
_WHO = ("customer_name", "business_name")
NAMES: Mapping[Kind, tuple[str, ...]] = {
    Kind.TRIAL_ENDING: (*_WHO, "products", "date"),
    Kind.RENEWAL_AHEAD: (*_WHO, "products", "date"),
    Kind.PAYMENT_FAILED: (*_WHO, "amount", "invoice_number"),
    Kind.AUTHENTICATION_NEEDED: (*_WHO, "amount", "invoice_number"),
    Kind.CARD_EXPIRING: (*_WHO, "products", "payment_method"),
    Kind.INVOICE_FINALIZED: (*_WHO, "amount", "invoice_number"),
    Kind.UNPAID_REMINDER: (*_WHO, "amount", "invoice_number", "date"),
    Kind.RECEIPT: (*_WHO, "amount", "invoice_number", "date"),
    Kind.CANCELLATION_CONFIRMED: (*_WHO, "products", "date"),
    Kind.SUBSCRIPTION_ENDED: (*_WHO, "products", "date"),
    Kind.CHANGE_CONFIRMED: (*_WHO, "products"),
    Kind.PAUSE_BEGUN: (*_WHO, "products"),
    Kind.PAUSE_ENDING: (*_WHO, "products", "date"),
    Kind.EMAIL_CHANGED: ("business_name",),
    Kind.REFUND: (*_WHO, "amount", "invoice_number"),
}
FURTHEST = 90  # days, before or after
MOST_DAYS = 6  # reminders of one kind
LEAST_PERIOD = 60  # days that a period must have for a reminder of its renewal, unless the account says otherwise


@dataclass(frozen=True)
class KindSettings:
    """Whether a kind is sent and, of a reminder, how many days before its date. `least_period` is of renewals: in days."""

    enabled: bool = True
    days: tuple[int, ...] = ()
    least_period: int = LEAST_PERIOD


@dataclass(frozen=True)
class Settings:
    """An account's settings, from `Account.notices`: by kind, what differs from the usual."""

    differing: Mapping[Kind, KindSettings] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> Self:
        """The settings in a stored document. Kinds and members of another version of the program are left out."""
        known = {member.name for member in fields(KindSettings)}
        found = {}
        for name, given in (document or {}).items():
            if name in set(Kind):
                members = {member: value for member, value in given.items() if member in known}
                found[Kind(name)] = KindSettings(**{**members, "days": tuple(given.get("days", ()))})
        return cls(found)

    def __getitem__(self, kind: Kind) -> KindSettings:
        return self.differing.get(kind) or KindSettings(days=REMINDERS.get(kind, ()))

    def changed(self, kind: Kind, settings: KindSettings) -> dict[str, Any]:
        """The document with another setting for a kind. Raises BillingError for days that make no sense."""
        if bool(settings.days) != (kind in REMINDERS):
            raise BillingError(
                f"{kind} needs days." if kind in REMINDERS else f"{kind} is no reminder: it has no days."
            )
        if len(settings.days) > MOST_DAYS or any(abs(day) > FURTHEST for day in settings.days):
            raise BillingError(f"At most {MOST_DAYS} reminders, and none more than {FURTHEST} days before or after.")
        if kind != Kind.UNPAID_REMINDER and any(day < 0 for day in settings.days):
            raise BillingError(f"{kind} can only come before its date.")
        after = {**self.differing, kind: settings}
        return {each: {"enabled": own.enabled, "days": list(own.days), "least_period": own.least_period}
                for each, own in after.items()}  # fmt: skip


def kind_of(name: str) -> Kind:
    """The kind with this name. Raises BillingError, with the names of all."""
    try:
        return Kind(name)
    except ValueError:
        names = ", ".join(sorted(kind.value for kind in Kind))
        raise BillingError(f"No such kind of e-mail: {name}. There are: {names}.") from None

"""To whom e-mails go: the customer's own address, and the billing contacts that the merchant has named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, Customer, Invoice, Subscription
from portal_site.db.page_query import PageQuery, Row
from portal_site.db.transactions import transaction
from portal_site.mail.messages import SenderSettings, deliverable
from portal_site.notices.kinds import Kind, Settings, kind_of
from portal_site.notices.triggers import Notice

MOST_CONTACTS = 10
_OWN = (Customer.account_id == bindparam("account_id"), Customer.deleted_at.is_(None))
_COLUMNS = (
    Customer.id,
    Customer.email,
    Customer.livemode,
    Customer.billing_contacts,
    Customer.muted_notices,
    Customer.test_clock_id,
    Account.notices,
    Account.mail,
    Account.email_texts,
    Account.support_email,
    Account.cancellation_page_id,
)
_ACCOUNT = Account.id == Customer.account_id
_BY_CUSTOMER = PageQuery(
    customer=select(*_COLUMNS).join(Account, _ACCOUNT).where(*_OWN, Customer.id == bindparam("customer_id"))
)
_BY_SUBSCRIPTION = PageQuery(
    customer=select(*_COLUMNS, Subscription.on_behalf_of)
    .join(Account, _ACCOUNT)
    .join(Subscription, Subscription.customer_id == Customer.id)
    .where(*_OWN, Subscription.account_id == Customer.account_id, Subscription.id == bindparam("subscription_id"))
)
_BY_INVOICE = PageQuery(
    customer=select(*_COLUMNS, Invoice.on_behalf_of)
    .join(Account, _ACCOUNT)
    .join(Invoice, Invoice.customer_id == Customer.id)
    .where(*_OWN, Invoice.account_id == Customer.account_id, Invoice.id == bindparam("invoice_id"))
)


@dataclass(frozen=True)
class Recipient:
    """A customer as far as it decides who gets an e-mail."""

    customer_id: str
    email: str | None
    livemode: bool
    on_behalf_of: str | None
    has_clock: bool
    contacts: tuple[Mapping[str, Any], ...]
    muted: frozenset[str]
    settings: Settings
    texts: Mapping[str, Any] | None  # the merchant's own words, as they are stored
    own_addresses: frozenset[str]  # of the merchant
    own_domain: str | None  # for which its DKIM key signs, so that it is the merchant's
    can_cancel_without_login: bool  # without logging in


def find(notice: Notice) -> Recipient | None:
    """Whom an e-mail is for; None if the customer is deleted."""
    if notice.invoice_id is not None:
        row = _BY_INVOICE.one(account_id=notice.account_id, invoice_id=notice.invoice_id)
    elif notice.subscription_id is not None:
        row = _BY_SUBSCRIPTION.one(account_id=notice.account_id, subscription_id=notice.subscription_id)
    else:
        row = _BY_CUSTOMER.one(account_id=notice.account_id, customer_id=notice.customer_id)
    return _recipient(row) if row is not None else None


def find_customer(account_id: str, customer_id: str) -> Recipient | None:
    """A customer as one who gets an e-mail that follows from nothing; None if it is deleted."""
    row = _BY_CUSTOMER.one(account_id=account_id, customer_id=customer_id)
    return _recipient(row) if row is not None else None


def _recipient(row: Row) -> Recipient:
    sender = SenderSettings.of(row["mail"])
    return Recipient(
        customer_id=row["id"],
        email=row["email"],
        livemode=row["livemode"],
        on_behalf_of=row.get("on_behalf_of"),
        has_clock=row["test_clock_id"] is not None,
        contacts=tuple(row["billing_contacts"] or ()),
        muted=frozenset(row["muted_notices"] or ()),
        settings=Settings.of(row["notices"]),
        texts=row["email_texts"],
        own_addresses=frozenset(
            each.lower() for each in (row["support_email"], sender.address, sender.reply_to) if each
        ),
        own_domain=sender.dkim.domain.lower() if sender.dkim else None,
        can_cancel_without_login=row["cancellation_page_id"] is not None,
    )


def addresses(recipient: Recipient, kind: Kind, own: str | None, *, stays_local: bool) -> tuple[list[str], list[str]]:
    """The addresses for `to` and `cc`: `own`, and the contacts for this kind; both empty if nobody is to get it.

    In test mode customers are made up, or copies of real people: unless `stays_local`, which holds where nothing leaves, only the
    merchant's own addresses count then, and those of the domain that it signs for.
    """
    wanted = (each for each in recipient.contacts if not each["kinds"] or kind in each["kinds"])
    # A changed address is the business of those two addresses only.
    contacts = [] if kind == Kind.EMAIL_CHANGED else list(wanted)
    to = [own] if own else []
    to += [each["email"] for each in contacts if not each["cc"]]
    cc = [each["email"] for each in contacts if each["cc"]]
    to, cc = ([each for each in some if may_get(recipient, each, stays_local=stays_local)] for some in (to, cc))
    return (to, cc) if to else (cc, [])


def may_get(recipient: Recipient, address: str, *, stays_local: bool) -> bool:
    """Whether e-mails may go to this address at all, in the customer's mode."""
    return stays_local or recipient.livemode or _is_merchants(address, recipient)


def _is_merchants(address: str, recipient: Recipient) -> bool:
    domain = address.rpartition("@")[2].lower()
    return address.lower() in recipient.own_addresses or domain == recipient.own_domain


# --- the contacts of a customer ---------------------------------------------------------------------------------------


def add_contact(
    account_id: str | None, customer: str, email: str, *, cc: bool = False, kinds: Iterable[str] = ()
) -> None:
    """Name a billing contact of a customer (id or e-mail address); the same address again replaces it.

    With `kinds` it gets only e-mails of these. Raises BillingError for an address or a kind that is none, and for too many.
    """
    if deliverable(email) is None:
        raise BillingError(f"Not an e-mail address: {email}")
    contact = {"email": email, "cc": cc, "kinds": [kind_of(name).value for name in kinds]}
    with transaction() as session:
        row = ownership.get_customer(session, account_id, customer)
        others = [each for each in row.billing_contacts if each["email"] != email]
        if len(others) >= MOST_CONTACTS:
            raise BillingError(f"A customer can have at most {MOST_CONTACTS} billing contacts.")
        row.billing_contacts = [*others, contact]


def contacts(account_id: str | None, customer: str) -> list[Mapping[str, Any]]:
    """The billing contacts of a customer. Raises BillingError."""
    with transaction() as session:
        return list(ownership.get_customer(session, account_id, customer).billing_contacts)


def remove_contact(account_id: str | None, customer: str, email: str) -> None:
    """Remove a billing contact. Raises BillingError if there is no such contact."""
    with transaction() as session:
        row = ownership.get_customer(session, account_id, customer)
        left = [each for each in row.billing_contacts if each["email"] != email]
        if len(left) == len(row.billing_contacts):
            raise BillingError(f"{email} is no billing contact of this customer.")
        row.billing_contacts = left

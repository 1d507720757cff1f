"""Links in e-mails as text: what a link is for, signed into its URL."""

from portal_site.billing.portal_access.email_links import EmailLink, Purpose, address_mark
from portal_site.web import addresses, signing

_SIGNED = "email-link"


def address(account_id: str, purpose: Purpose, customer_id: str, email: str | None, object_id: str, at: int) -> str:
    """The URL of a link that is made at `at`, for a customer of this account with this e-mail address."""
    token = signing.sign(_SIGNED, [purpose, customer_id, object_id, at, address_mark(email)])
    return addresses.of(account_id, "email_links.show", token=token)


def read(token: str) -> EmailLink | None:
    """What is signed into a link; None if it is not from here."""
    found = signing.read(_SIGNED, token)
    return EmailLink(Purpose(found[0]), *found[1:]) if found else None

"""Billing information: the stored facts, and the verification of tax ids."""

from dataclasses import dataclass

from portal_site.billing.rules.customers import tax_ids
from portal_site.billing.rules.customers.tax_ids import TaxIdType
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads.billing_information import TaxIdView
from portal_site.web.input import phones, postal_addresses
from portal_site.web.rendering.i18n import gettext as _


@dataclass(frozen=True)
class Fact:
    """A label with its value, which is empty if it is not stored; an address has several lines."""

    label: str
    text: str = ""
    lines: tuple[str, ...] = ()


def facts(visitor: Visitor) -> list[Fact]:
    """The stored facts apart from the tax ids."""
    shipping = visitor.shipping or {}
    recipient = (shipping["name"],) if shipping.get("name") else ()
    known = {
        "name": Fact(_("Name"), visitor.name or ""),
        "email": Fact(_("Email"), visitor.email or ""),
        "address": Fact(_("Billing address"), lines=postal_addresses.lines(visitor.address)),
        "phone": Fact(_("Phone"), phones.pretty(visitor.phone or "")),
        "shipping": Fact(_("Shipping address"), lines=(*recipient, *postal_addresses.lines(shipping.get("address")))),
    }
    return [fact for fact in known.values() if fact.text or fact.lines]


def missing(visitor: Visitor) -> list[tuple[str, str]]:
    """The missing facts that the customer may add, as (label, endpoint)."""
    allowed, edit = visitor.features.customer_update.allowed_updates, "portal.edit_billing_information"
    links = [
        ("name", _("Add name"), visitor.name, edit),
        ("email", _("Add email"), visitor.email, edit),
        ("address", _("Add billing address"), postal_addresses.lines(visitor.address), edit),
        ("phone", _("Add phone number"), visitor.phone, edit),
        ("shipping", _("Add shipping address"), visitor.shipping, edit),
        ("tax_id", _("Add a tax ID"), None, "portal.new_tax_id"),
    ]
    return [(words, endpoint) for name, words, known, endpoint in links if name in allowed and not known]


def tax_id_name(kind: str) -> str:
    """The name of a type of tax id; the type itself if it is unknown. Only VAT has a name in each language."""
    name = tax_ids.TYPES[kind].name if kind in tax_ids.TYPES else kind
    return _("VAT") if name == "VAT" else name


def tax_id_kind(tax_id: TaxIdView) -> str:
    """The type of a tax id, with the state of its verification if it is verified at all."""
    kind = tax_id_name(tax_id.type)
    checked = {
        "pending": _("being verified"),
        "verified": _("verified"),
        "unverified": _("could not be verified"),
    }.get(tax_id.verification_status)
    return f"{kind} · {checked}" if checked else kind


def tax_id_hint(chosen: TaxIdType | None) -> str:
    """Where the number of a tax id is found, with an example of the type that is chosen."""
    if chosen is None:
        return _("As shown on your tax registration.")
    return _(
        "As shown on your tax registration: %(type)s, for example %(example)s.",
        type=tax_id_name(chosen.code),
        example=chosen.example,
    )

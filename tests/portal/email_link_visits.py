"""Links in e-mails, as the tests make and open them."""

from typing import Any

from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Invoice
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.mail import links
from tests.client import PortalClient
from tests.portal.logging_in import AT
from tests.world import reading


def link_to(app: Flask, purpose: Purpose, scene: Any, object_id: str, at: int = AT) -> str:
    """The path of a link that is made at this instant."""
    whose = scene.customer
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        return links.address(whose.account_id, purpose, whose.id, whose.email, object_id, at).partition("8000")[2]


def browser(app: Flask) -> PortalClient:
    return app.test_client()  # type: ignore[return-value]


def open_invoice(scene: Any) -> Any:
    with reading() as reader:
        mine = Invoice.customer_id == scene.customer.id, Invoice.status == "open"
        return reader.execute(select(Invoice.__table__).where(*mine)).one()

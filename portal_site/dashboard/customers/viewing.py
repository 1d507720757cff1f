"""A customer's portal as the customer sees it, for somebody who can do nothing in it."""

from collections.abc import Mapping
from typing import Any

from flask import Response, abort, render_template, request

from portal_site import clock
from portal_site.billing.accounts import connected
from portal_site.dashboard import blueprint, forms, needs
from portal_site.dashboard.customers import one
from portal_site.dashboard.customers.pages import CUSTOMERS
from portal_site.dashboard.settings import previews
from portal_site.portal.access.previews import render
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.staff.roles import Right
from portal_site.web.rendering import themes

PAGES: Mapping[str, tuple[str, str]] = {
    "overview": ("Overview", "portal.show_overview"),
    "payment_methods": ("Payment methods", "portal.show_payment_methods"),
    "billing_information": ("Billing information", "portal.show_billing_information"),
    "invoices": ("Invoices", "portal.show_invoices"),
}
OF_SUBSCRIPTION = "portal.show_subscription"


@blueprint.get(f"{CUSTOMERS}/<customer_id>/view")
@needs(Right.VIEW_CUSTOMERS)
def view_as_customer(account_id: str, mode: str, customer_id: str) -> Any:
    """The page around the customer's portal, which says that it is only looked at, with the pages to choose from."""
    customer, visitor = _customer(account_id, mode, customer_id)
    now = visitor.time(clock.now())
    subscriptions = [(each.id, ", ".join(each.products)) for each in overview.find(visitor, now).subscriptions]
    pages = [*((name, words) for name, (words, _endpoint) in PAGES.items()), *subscriptions]
    names = dict(pages)
    page = render_template(
        "dashboard/customers/view.html",
        customer=customer,
        name=customer["name"] or customer["email"] or customer["id"],
        pages=pages,
        behalf=visitor.on_behalf_of,
        connected=connected.sold_for(account_id, customer["id"]),
        shown=request.args.get("page") if request.args.get("page") in names else "overview",
    )
    return page, 200, {"Content-Security-Policy": forms.framing_policy()}


@blueprint.get(f"{CUSTOMERS}/<customer_id>/view/frame")
@needs(Right.VIEW_CUSTOMERS)
def show_customers_portal(account_id: str, mode: str, customer_id: str) -> Response:
    """A page of the portal as it is now, for the frame."""
    _customer_row, visitor = _customer(account_id, mode, customer_id)
    name = request.args.get("page", "")
    values = {} if name in PAGES else {"subscription_id": name}
    endpoint = PAGES[name][1] if name in PAGES else OF_SUBSCRIPTION
    page = render(visitor, endpoint, values, visitor.time(clock.now()), None, themes.LIGHT) if name else None
    advice = "What customers may do is decided in the settings of the portal."
    return previews.framed(page or previews.in_words("This customer does not get to this page.", advice))


def _customer(account_id: str, mode: str, customer_id: str) -> tuple[Mapping[str, Any], Visitor]:
    """The customer with its portal; 404 if it has none."""
    row = one.find(account_id, mode, customer_id)["customer"][0]
    behalf = one.chosen_account(request.args, connected.sold_for(account_id, row["id"]))
    return row, one.visitor_of(account_id, row["id"], behalf) or abort(404)

"""Demo mode: three merchants with customers in many states, and a page that opens any customer's portal. Loopback only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from flask import Blueprint, Flask, abort, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Account, Customer, PortalConfiguration, Subscription, SubscriptionItem
from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.db.transactions import transaction
from portal_site.demo import atelier, mailbox, northlight, zap

LINK_LIFE = portal_sessions.WHOLE_LIFE
FLOWS = {
    flows.PAYMENT_METHOD_UPDATE: "Add a payment method",
    flows.CUSTOMER_UPDATE: "Update the billing information",
    flows.SUBSCRIPTION_CANCEL: "Cancel",
    flows.SUBSCRIPTION_PAUSE: "Pause",
    flows.SUBSCRIPTION_UPDATE: "Change the plan",
    flows.SUBSCRIPTION_UPDATE_CONFIRM: "Confirm five more seats",
}
blueprint = Blueprint("demo", __name__, url_prefix="/demo")


@dataclass(frozen=True)
class DemoCustomer:
    """A demo customer. `phrase` describes its state."""

    id: str
    account_id: str
    business: str
    name: str
    phrase: str
    on_behalf_of: str | None
    configuration_id: str | None


def init(app: Flask) -> None:
    """Register the demo's pages."""
    from portal_site.demo import dashboard  # noqa: F401 - it registers its route on the blueprint

    app.register_blueprint(blueprint)
    app.register_blueprint(mailbox.blueprint)


def seed(at: int) -> None:
    """Fill an empty database with the demo data, in one transaction."""
    with transaction() as session:
        for merchant in (northlight, atelier, zap):
            merchant.build(session, at)


def customers() -> Sequence[DemoCustomer]:
    """All demo customers, sorted by merchant and e-mail address."""
    with transaction() as session:
        query = (
            select(Customer, Account.business_name)
            .join(Account, Account.id == Customer.account_id)
            .where(Customer.description.is_not(None))
            .execution_options(unscoped="the demo shows all its merchants")
        )
        return list(_listed(session.execute(query).all()))


def _listed(rows: Sequence[tuple[Customer, str]]) -> Iterator[DemoCustomer]:
    for customer, business in sorted(rows, key=lambda row: (row[1], row[0].email or "")):
        notes = customer.metadata_
        yield DemoCustomer(
            id=customer.id,
            account_id=customer.account_id,
            business=business,
            name=customer.name or "",
            phrase=customer.description or "",
            on_behalf_of=notes.get("on_behalf_of"),
            configuration_id=notes.get("configuration"),
        )


def link(customer: DemoCustomer, at: int) -> str:
    """A link to a customer's portal. It works for the longest duration of a session, so that it can be used for a whole demo."""
    opened = portal_sessions.open_session(
        customer.id,
        at,
        on_behalf_of=customer.on_behalf_of,
        configuration_id=customer.configuration_id,
        link_life=LINK_LIFE,
    )
    return url_for("sessions.follow_link", token=opened.token, _external=True)


@blueprint.before_request
def require_loopback() -> None:
    """Answer 404 to requests from other machines, which must not open a portal, even with demo data."""
    if not ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104 - refused, since it is no loopback address
        abort(404)


@blueprint.get("")
def show_demo() -> str:
    """The list of demo customers, with a button for each."""
    return _page()


def _page(refusal: str = "") -> str:
    groups: dict[str, list[DemoCustomer]] = {}
    for customer in customers():
        groups.setdefault(customer.business, []).append(customer)
    return render_template("demo/show.html", groups=groups, flows=FLOWS, logins=_login_pages(), refusal=refusal)


def _login_pages() -> Sequence[tuple[str, str, str]]:
    """The login pages: the business, the page's id, and the address of one of its customers."""
    with transaction() as session:
        query = (
            select(Account.business_name, PortalConfiguration.login_page_id, func.min(Customer.email))
            .join(Account, Account.id == PortalConfiguration.account_id)
            .join(Customer, Customer.account_id == Account.id)
            .where(PortalConfiguration.login_page_enabled, PortalConfiguration.login_page_id.is_not(None))
            .group_by(Account.business_name, PortalConfiguration.login_page_id)
            .execution_options(unscoped="the demo shows all its merchants")
        )
        return [(business, page_id or "", email or "") for business, page_id, email in session.execute(query)]


@blueprint.post("/customers/<customer_id>/visit")
def visit(customer_id: str) -> Response:
    """Open this customer's portal."""
    for customer in customers():
        if customer.id == customer_id:
            return redirect(link(customer, clock.now()), 303)
    abort(404)


@blueprint.post("/flows/<type_>")
def visit_for(type_: str) -> Response | tuple[str, int]:
    """Open the portal of one customer for one thing only."""
    if type_ not in FLOWS:
        abort(404)
    customer = next(customer for customer in customers() if customer.phrase == northlight.OF_FLOWS)
    try:
        opened = portal_sessions.open_session(
            customer.id, clock.now(), flow=_flow(type_, customer), link_life=LINK_LIFE
        )
    except BillingError as refusal:  # as after cancelling twice
        return _page(str(refusal)), 409
    return redirect(url_for("sessions.follow_link", token=opened.token), 303)


def _flow(type_: str, customer: DemoCustomer) -> Flow:
    completion = Completion(message="This is the merchant's message for the end of a link to one thing.")
    if type_ not in flows.OF_SUBSCRIPTIONS:
        return Flow(type_, completion)
    with transaction() as session:
        subscription = session.scalars(select(Subscription).where(Subscription.customer_id == customer.id)).one()
        of_account = SubscriptionItem.account_id == subscription.account_id
        items = select(SubscriptionItem).where(of_account, SubscriptionItem.subscription_id == subscription.id)
        item = session.scalars(items).one()
        wanted = WantedItem(item.id, quantity=(item.quantity or 0) + 5)
        is_fixed = type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM
        return Flow(type_, completion, subscription.id, (wanted,) if is_fixed else ())

"""Merchants and customers for tests, created with the demo's builder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from portal_site import clock
from portal_site.billing.events import emission
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, with_next_number
from portal_site.billing.loading import snapshots
from portal_site.billing.models import (
    Account,
    CreditNote,
    CreditNoteLineItem,
    Customer,
    Discount,
    Invoice,
    PaymentMethod,
    PortalConfiguration,
    Price,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.portal.portal_features import (
    UPDATES,
    CustomerUpdate,
    Features,
    Retention,
    SubscriptionCancel,
    SubscriptionPause,
    SubscriptionRestart,
    SubscriptionUpdate,
)
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db import transactions
from portal_site.db.transactions import before_commit, transaction
from portal_site.demo.builder import Merchant
from portal_site.ids import new_id

EVERYTHING = Features(
    customer_update=CustomerUpdate(allowed_updates=UPDATES),
    subscription_update=SubscriptionUpdate(
        enabled=True,
        default_allowed_updates=("price", "quantity", "promotion_code"),
        proration_behavior="always_invoice",
    ),
    subscription_pause=SubscriptionPause(enabled=True),
    subscription_cancel=SubscriptionCancel(retention=Retention(enabled=True)),  # without rules, so there are no offers
    subscription_restart=SubscriptionRestart(enabled=True),
)
VISA, MASTERCARD, FAILS, ASKS = "4242424242424242", "5555555555554444", "4000000000000341", "4000002760003184"
SLOW, SLOW_FAILS = "AT321904300235473204", "AT051904300235473205"  # debits that the bank carries out for four days


@contextmanager
def reading() -> Iterator[Connection]:
    """A read-only connection that may read the rows of all owners."""
    with transactions.reading() as connection:
        yield connection.execution_options(unscoped="the test looks at everybody")


@contextmanager
def merchant(name: str = "Acme", features: Features = EVERYTHING, **members: Any) -> Iterator[Merchant]:
    """A merchant with a default configuration, committed at the end of the block."""
    configuration = members.pop("configuration", {})
    with transaction() as session:
        made = Merchant.open(session, clock.now(), name, **members)
        made.configuration(features, **configuration)
        yield made


@dataclass
class Scene:
    """One merchant, one customer with a card, a monthly subscription for €24.00 and its invoices."""

    customer: Customer
    method: PaymentMethod
    subscription: Subscription
    account_id: str


PARIS = {
    "line1": "1 rue de la Paix",
    "line2": None,
    "city": "Paris",
    "state": None,
    "postal_code": "75002",
    "country": "FR",
}


def scene(
    name: str = "Acme",
    features: Features = EVERYTHING,
    *,
    card: str = VISA,
    last: str = "paid",
    invoices: int = 12,
    **members: Any,
) -> Scene:
    """Create a merchant with the customer of a Scene."""
    with merchant(name, features, **members) as made:
        product = made.product("Team", "seats")
        price = made.price(product, 1200, "eur")
        email = f"hedda@{name.lower()}.example"
        customer = made.customer("Hedda Berg", email, "usual", phone="+33612345678", address=PARIS)
        method = made.method(customer, card)
        subscription = made.subscription(
            customer, [(price, 2)], started=200, status="past_due" if last == "open" else "active"
        )
        made.history(customer, subscription, [(product, price, 2)], last=last, most=invoices)
    return Scene(customer, method, subscription, made.account.id)


@dataclass
class Shop:
    """A merchant with plans Team (€10 a month or €100 a year) and Solo (€4 a month), and a customer on Team.

    The customer's period is April 2026: it starts at `START` and ends at `END`; `HALF` is its middle.
    """

    merchant: Merchant
    customer: Customer
    subscription: Subscription
    prices: dict[str, Price]
    item_id: str
    features: SubscriptionUpdate
    method: PaymentMethod | None


def credit_note(invoice_id: str, note_id: str, **members: Any) -> CreditNote:
    """A credit note of €4.80 with 20 % tax, of which €3.00 was owed, for an invoice."""
    tax = {"amount": 80, "tax_behavior": "exclusive", "display_name": "VAT", "percentage": "20"}
    with transaction() as session:
        own = select(Invoice).where(Invoice.id == invoice_id)
        invoice = session.scalars(own.execution_options(unscoped="the test has just made it")).one()
        whose = {"account_id": invoice.account_id, "customer_id": invoice.customer_id}
        values = {"number": f"{invoice.number}-CN-01", "created": invoice.created + 60, "currency": invoice.currency,
                  "amount": 480, "pre_payment_amount": 300, "post_payment_amount": 180, **members}  # fmt: skip
        note = CreditNote(id=note_id, invoice_id=invoice_id, **whose, **values)
        session.add(note)
        session.flush()
        line = CreditNoteLineItem(
            id=f"cnli_{note_id}", account_id=invoice.account_id, credit_note_id=note.id, invoice_line_item_id="il_any",
            description="Unused time: 2 seats × Team", period_start=START, period_end=END, amount=400, total=480, taxes=[tax],
        )  # fmt: skip
        session.add(line)
    return note


START, HALF, END = 1_775_001_600, 1_776_297_600, 1_777_593_600


def shop(
    name: str = "Acme",
    *,
    quantity: int = 1,
    card: str | None = VISA,
    status: str = "active",
    currency: str = "eur",
    tax: Sequence[dict[str, Any]] = (),
    policy: dict[str, Any] | None = None,
    customer: dict[str, Any] | None = None,
    also: str | None = None,
    add_ons: bool = False,
    **members: Any,
) -> Shop:
    """Create a shop. `policy` are options of portal_features.SubscriptionUpdate, `members` those of the subscription.

    `also` is the key in `prices` of an optional second item. With `add_ons`, customers may add Storage (€3 a month or €30 a
    year, up to 10) and Support (€5 a month, one).
    """
    with transaction() as session:
        made = Merchant.open(session, START + 1, name)
        team, solo = made.product("Team", "seats"), made.product("Solo")
        prices = {
            "team": made.price(team, 1000, currency),
            "year": made.price(team, 10000, currency, "year"),
            "solo": made.price(solo, 400, currency),
        }
        offered = ({"product": team.id, "prices": [prices["team"].id, prices["year"].id]},
                   {"product": solo.id, "prices": [prices["solo"].id]})  # fmt: skip
        extras = _add_ons(made, prices, currency) if add_ons else ()
        update = {
            "enabled": True,
            "add_ons": extras,
            "default_allowed_updates": ("price", "quantity", "promotion_code"),
            "products": offered,
        }
        features = SubscriptionUpdate(**{**update, "proration_behavior": "always_invoice", **(policy or {})})
        made.configuration(replace(EVERYTHING, subscription_update=features))
        email = f"hedda@{name.lower()}.example"
        bought = {"quantity": quantity, "card": card, "status": status, "tax": tax, "customer": customer or {}}
        bought["also"] = prices[also] if also else None
        buyer, method, subscription, item_id = _buy(made, "Hedda Berg", email, prices["team"], **bought, **members)
    return Shop(made, buyer, subscription, prices, item_id, features, method)


def _add_ons(made: Merchant, prices: dict[str, Price], currency: str) -> tuple[dict[str, Any], ...]:
    storage, support = made.product("Storage"), made.product("Support")
    prices["storage"] = made.price(storage, 300, currency)
    prices["storage year"] = made.price(storage, 3000, currency, "year")
    prices["support"] = made.price(support, 500, currency)
    several = {"enabled": True, "minimum": 1, "maximum": 10}
    return (
        {
            "product": storage.id,
            "prices": [prices["storage"].id, prices["storage year"].id],
            "adjustable_quantity": several,
        },
        {"product": support.id, "prices": [prices["support"].id]},
    )


def second_subscription(
    shop: Shop, *, every: str = "month", days: int = 5, coupon: dict[str, Any] | None = None
) -> Subscription:
    """Another subscription of the shop's customer, to a plan of its own, that begins so many days later, not billed yet.

    With a coupon, the customer has a discount that both subscriptions may use.
    """
    with transaction() as session:
        made = Merchant(session, START + 1, session.get(Account, shop.customer.account_id))
        buyer = session.get(Customer, shop.customer.id)
        assert buyer is not None
        price = made.price(made.product("Extra"), 700, shop.subscription.currency, every)
        begun = START + days * 24 * 60 * 60
        subscription = made.subscription(
            buyer, [(price, 1)], started=0, created=START, start_date=START, billing_cycle_anchor=begun
        )
        items = subscription_items.load_items(session, subscription)
        items[0].current_period_start, items[0].current_period_end = START, begun
        due_dates.recompute_due_at(session, subscription, items, START)
        if coupon:
            given = made.coupon("Both", **coupon)
            session.add(
                Discount(
                    id=new_id("di"), account_id=buyer.account_id, customer_id=buyer.id, coupon_id=given.id, start=START
                )
            )
    return subscription


def neighbour(shop: Shop, number: int) -> Shop:
    """The same shop with another customer, who has the same subscription as the first."""
    with transaction() as session:
        made = Merchant(session, START + 1, session.get(Account, shop.customer.account_id))
        team = session.get(Price, shop.prices["team"].id)
        assert team is not None
        buyer, method, subscription, item_id = _buy(made, f"Buyer {number}", f"buyer{number}@acme.example", team)
    return replace(shop, customer=buyer, subscription=subscription, item_id=item_id, method=method)


def _buy(
    made: Merchant,
    name: str,
    email: str,
    price: Price,
    *,
    quantity: int = 1,
    card: str | None = VISA,
    status: str = "active",
    tax: Sequence[dict[str, Any]] = (),
    customer: dict[str, Any] | None = None,
    also: Price | None = None,
    **members: Any,
) -> tuple[Customer, PaymentMethod | None, Subscription, str]:
    """Create a customer with a subscription whose first month is paid. The last value is the id of its first item."""
    buyer = made.customer(name, email, "usual", **(customer or {}))
    method = made.method(buyer, card) if card else None
    prices = [(price, quantity)] + ([(also, 1)] if also else [])
    subscription = made.subscription(
        buyer, prices, started=0, status=status, created=START, start_date=START,
        default_tax_rates=list(tax), **{"billing_cycle_anchor": START, **members},
    )  # fmt: skip
    items = subscription_items.load_items(made.session, subscription)
    for item in items:
        item.current_period_start = START
        item.current_period_end = END if status != "trialing" else members["trial_end"]
    due_dates.recompute_due_at(made.session, subscription, items, START)
    if status != "trialing":
        _bill_first(made, buyer, subscription, tax)
    first = next(item.id for item in items if item.price_id == price.id)
    return buyer, method, subscription, first


def _bill_first(made: Merchant, buyer: Customer, subscription: Subscription, tax: Sequence[dict[str, Any]]) -> None:
    """Create the paid invoice for the current month, without events."""
    session = made.session
    snapshot = snapshots.load(session, [subscription], {buyer.id: buyer}, START)[subscription.id]
    before_start = [replace(item, period_end=START) for item in snapshot.items]
    lines = invoices.renewal_lines(
        before_start, START, snapshot.discounts_in_force(START), snapshot.tax_rates, snapshot.currency
    )
    bill = invoices.total_up(lines, 0, snapshot.currency)
    writer = InvoiceWriter(session)
    row = writer.invoice(
        with_next_number(session, buyer), subscription, bill, START, billing_reason="subscription_cycle",
        cycle_at=START, status="paid", amount_paid=bill.amount_due, amount_remaining=0, paid_at=START,
    )  # fmt: skip
    writer.write()
    before_commit(session, emission._write).clear()
    subscription.latest_invoice_id = row["id"]


def plan(
    customer_id: str,
    subscription_id: str,
    phases: Sequence[tuple[int, Mapping[str, int | None]]],
    end: int | None = None,
    proration: str = "create_prorations",
    **members: Any,
) -> None:
    """Create a merchant's schedule. A phase is (start, quantities by price id)."""
    with transaction() as session:
        owned = Subscription.id == subscription_id, Subscription.customer_id == customer_id
        subscription = session.scalars(select(Subscription).where(*owned)).one()
        owner = {"account_id": subscription.account_id}
        schedule = SubscriptionSchedule(
            id=new_id("sub_sched"), customer_id=customer_id, livemode=subscription.livemode, status="active",
            subscription_id=subscription.id, created=START, **owner, **members,
        )  # fmt: skip
        session.add(schedule)
        session.flush()
        ends = [*(start for start, _ in phases[1:]), end]
        for (start, bought), until in zip(phases, ends, strict=True):
            phase = SchedulePhase(
                id=new_id("phase"), schedule_id=schedule.id, start_date=start, end_date=until,
                proration_behavior=proration, **owner,
            )  # fmt: skip
            session.add(phase)
            session.flush()
            for position, (price_id, quantity) in enumerate(bought.items()):
                item_id = f"phitem_{phase.id}_{position:02}"
                session.add(
                    SchedulePhaseItem(id=item_id, phase_id=phase.id, price_id=price_id, quantity=quantity, **owner)
                )
        session.flush()
        due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), START)


__all__ = ["Account", "Merchant", "PortalConfiguration", "Scene", "Shop", "merchant", "scene", "shop", "transaction"]

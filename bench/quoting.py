"""The speed of plan change quotes: of the pure rule, and of the HTML fragment compared with a bare Flask page."""

import statistics
import time
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import select

from bench import data, load
from bench.load import Question
from bench.report import Section
from bench.stage import BARE, OURS, Stage
from portal_site.billing.models import Customer, Price, Subscription, SubscriptionItem
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, ItemSpec, PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.taxes import TaxRate
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

MONTH = 30 * 24 * 60 * 60


def measure_rule() -> list[Section]:
    """Quotes per second on one core: the best of five runs of one second."""
    vat = (TaxRate("txr_vat", "VAT", Decimal(19), inclusive=False),)
    off = (DiscountTerms("di_1", CouponTerms(Decimal(10), None, None, None), subscription_id="sub"),)
    cases = {
        "one item": _snapshot(1),
        "one item, tax and a coupon": _snapshot(1, tax_rates=vat, discounts=off),
        "ten items, tax and a coupon": _snapshot(10, tax_rates=vat, discounts=off),
    }
    rows = [[name, f"{max(_rate(snapshot) for _ in range(5)):,.0f}/s"] for name, snapshot in cases.items()]
    return [Section("Quotes of the pure rule, one core", ("a change at once, with proration", "quotes"), rows)]


def _offer(unit: int, number: int) -> PricedPlan:
    terms = PriceTerms("eur", Decimal(unit))
    return PricedPlan(f"price_{unit}_{number}", f"prod_{number}", "Team", terms)


def _snapshot(items: int, **members: object) -> SubscriptionSnapshot:
    made = tuple(Item(f"si_{n}", _offer(1000, n), 2, 0, MONTH) for n in range(items))
    known = {"id": "sub", "currency": "eur", "status": SubscriptionStatus.ACTIVE, "anchor": 0, **members}
    snapshot = SubscriptionSnapshot(**known, items=made)  # type: ignore[arg-type]
    begun = [Item(item.id, item.offer, item.quantity, 0, 0) for item in made]
    paid = invoices.renewal_lines(begun, 0, snapshot.discounts_in_force(0), snapshot.tax_rates, "eur")
    charged = tuple(replace(line, id=f"il_{n}") for n, line in enumerate(paid))
    return replace(snapshot, creditable_lines=charged)


def _rate(snapshot: SubscriptionSnapshot) -> float:
    target = [ItemSpec(_offer(2000, n), 3, item.id) for n, item in enumerate(snapshot.items)]
    policy, count, began = ProrationPolicy("always_invoice"), 0, time.perf_counter()
    while (duration := time.perf_counter() - began) < 1:
        plan_change.quote(snapshot, target, policy, MONTH // 2 + count % 1000)
        count += 1
    return count / duration


def measure_fragment(stage: Stage, rounds: int, seconds: float) -> list[Section]:
    """Compare the fragment of a quote with the bare page, in alternating bursts."""
    questions = _questions(stage)
    bare = stage.questions(BARE)
    rates: tuple[list[float], list[float]] = ([], [])
    load.burst(questions, seconds=seconds)
    for _ in range(rounds):
        for requests, series in zip((questions, bare), rates, strict=True):
            series.append(load.burst(requests, seconds=seconds).rate)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*rates, strict=True))
    size = statistics.median(len(question.ask()) for question in questions)
    row = [
        "quote as a fragment",
        *(f"{statistics.median(series):,.0f}/s" for series in rates),
        f"{ratio:.2f}",
        f"{size / 1024:.1f} KB",
    ]
    columns = ("what", "fragment", BARE, "ratio", "bytes, uncompressed")
    return [Section(f"Preview of a plan change on {stage.kind.name}", columns, [row])]


def _questions(stage: Stage) -> list[Question]:
    """For each customer whose plan can be changed, the request of a quote for a quantity of one more."""
    questions = []
    with stage.app.app_context(), data.everybodys() as reader:
        for ticket in stage.tickets[OURS]:
            query = (
                select(Subscription.id, SubscriptionItem.id, SubscriptionItem.price_id, SubscriptionItem.quantity)
                .join(Customer, Customer.id == Subscription.customer_id)
                .join(SubscriptionItem, SubscriptionItem.subscription_id == Subscription.id)
                .join(Price, Price.id == SubscriptionItem.price_id)
                .where(
                    Customer.email == ticket.guest.email,
                    Subscription.status == "active",
                    Price.usage_type == "licensed",
                )
                .limit(1)
            )
            row = reader.execute(query).first()
            if row is not None:
                path = (
                    f"/subscriptions/{row[0]}/plan-change/quote?price-{row[1]}={row[2]}&quantity-{row[1]}={row[3] + 1}"
                )
                questions.append(Question.of(stage.servers[OURS].port, ticket, path, 'data-testid="due-today"'))
    return [question for question in questions if _answers(question)]


def _answers(question: Question) -> bool:
    """Whether this plan can be changed. Some subscriptions have an open invoice, or end soon."""
    try:
        question.ask()
    except RuntimeError:
        return False
    return True

"""A made-up customer in a state, with the account's own prices, for a look at the portal. Nothing of it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Account, Price, Product, Subscription
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.samples.builder import DAY, Builder

NAME, EMAIL = "Alex Sample", "alex@example.com"
STARTED = 40  # days ago
RETRY = 3 * DAY
TRIAL = 10 * DAY
CARD = {
    "type": "card", "brand": "mastercard", "last4": "4444", "exp_month": 12, "exp_year": 2040, "funding": "credit",
    "country": "US", "fingerprint": "sample",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A made-up customer, and the subscription that its state is of."""

    customer_id: str
    subscription_id: str


def build(session: Session, account_id: str, livemode: bool, features: Features, state: str, at: int) -> Sample:
    """Write a customer in this state (one of STATES) as of `at`, in a session whose transaction is to be rolled back."""
    account = session.scalars(select(Account).where(Account.id == account_id)).one()
    made = Builder(session, at, account, livemode=livemode)
    plan, other, extra = _plans(made, features)
    customer = made.customer(NAME, EMAIL, "")
    method = made.payment_method(customer, **CARD)
    members, started = _members(state, at)
    prices = [(plan, 1), *([(extra, 1)] if state == "Several items" else [])]
    subscription = made.subscription(customer, prices, started=started, **members)
    product = session.get_one(Product, plan.product_id)
    if state != "In a trial":
        last = "open" if state in ("Payment overdue", "On hold") else "paid"
        made.history(customer, subscription, [(product, plan, 1)], last=last)
    if state in ("Payment overdue", "On hold"):
        made.failed_payment(subscription, method, at + RETRY)
    if state == "Change planned":
        made.schedule(subscription, other, 1, _period_end(made, subscription, plan))
    session.flush()
    return Sample(customer.id, subscription.id)


def _members(state: str, at: int) -> tuple[dict[str, Any], int]:
    """The subscription's columns in a state, and how many days ago it began."""
    if state == "In a trial":
        return {"status": "trialing", "trial_start": at - 4 * DAY, "trial_end": at + TRIAL}, 4
    of_state: dict[str, dict[str, Any]] = {
        "Ends with the period": {"cancel_at_period_end": True, "canceled_at": at - DAY},
        "Paused": {"status": "paused"},
        "Payment overdue": {"status": "past_due"},
        "On hold": {"status": "unpaid"},
        "Ended": {"status": "canceled", "canceled_at": at - DAY, "ended_at": at - DAY},
    }
    return of_state.get(state, {}), STARTED


def _period_end(made: Builder, subscription: Subscription, plan: Price) -> int:
    return made.period(subscription, plan)[1]


def _plans(made: Builder, features: Features) -> tuple[Price, Price, Price]:
    """A price for the plan, one to change to, and one of another product with the same interval, all of one currency.

    They are those that customers may choose, in the merchant's order; else others of the account; what is missing is made up.
    """
    update = features.subscription_update
    found = _active(made, update.price_ids) or _active(made, None)
    if not found:
        product = made.product("Team", "seats")
        found = [made.price(product, 1200, made.account.default_currency or "usd")]
    plan = found[0]
    alike = [one for one in found[1:] if one.currency == plan.currency]
    beside = [
        one
        for one in (*_active(made, update.all_price_ids), *alike)
        if one.currency == plan.currency and one.product_id != plan.product_id and _interval(one) == _interval(plan)
    ]
    extra = beside[0] if beside else made.price(
        made.product("Support"), plan.unit_amount or 500, plan.currency, plan.interval or "month",
        interval_count=plan.interval_count,
    )  # fmt: skip
    return plan, alike[0] if alike else plan, extra


def _interval(price: Price) -> tuple[str | None, int | None]:
    return price.interval, price.interval_count


def _active(made: Builder, names: Sequence[str] | None) -> list[Price]:
    """The account's active recurring prices: those with these ids in their order, or the newest."""
    mine = (
        Price.account_id == made.account.id,
        Price.livemode.is_(made.livemode),
        Price.active,
        Price.interval.is_not(None),
    )
    query = select(Price).where(*mine, Price.usage_type == "licensed").order_by(Price.created.desc(), Price.id.desc())
    if names is None:
        return list(made.session.scalars(query.limit(20)))
    found = {price.id: price for price in made.session.scalars(query.where(Price.id.in_(names)))}
    return [found[name] for name in names if name in found]

"""The overview page, with at most a dozen queries regardless of the customer's data."""

from django.db.models import Case, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bench.twin import plans
from bench.twin.models import Coupon, Discount, Invoice, PaymentMethod, PhaseItem, Subscription, SubscriptionItem, TaxId

SHORT, MOST_OPEN, TRIAL_NOTICE = 6, 20, 7 * 24 * 60 * 60
ENDED = ("canceled", "incomplete_expired")


@require_safe
def show_overview(request: HttpRequest) -> HttpResponse:
    """The overview page."""
    row, now = request.session_row, request.now  # type: ignore[attr-defined]
    own = {"account_id": row.account_id, "customer_id": row.customer_id}
    subscriptions = _subscriptions(own, now)
    methods = _methods(own, row.customer.default_payment_method_id, subscriptions, now)
    recent = list(_invoices(own)[: SHORT + 1])
    context = {
        "now": now,
        "account": row.account,
        "customer": row.customer,
        "configuration": row.configuration,
        "livemode": row.livemode,
        "features": row.configuration.features,
        "allowed": row.configuration.features["customer_update"]["allowed_updates"],
        "return_url": row.return_url or row.configuration.default_return_url,
        "theme": "{background}-{button}-{font}-{shape}".format(**row.account.branding).replace("#", ""),
        "subscriptions": subscriptions,
        "methods": methods,
        "recent": recent[:SHORT],
        "more_invoices": len(recent) > SHORT,
        "open_invoices": list(_invoices(own).filter(status="open")[:MOST_OPEN]),
        "tax_ids": list(TaxId.objects.filter(**own).order_by("created", "id")[:50]),
        "expiring": [m for m in methods if m.expiry and (m.is_default or m.used_by)],
        "trials_ending": [
            s
            for s in subscriptions
            if s.status == "trialing" and s.trial_end and now <= s.trial_end <= now + TRIAL_NOTICE
        ],
    }
    return render(request, "overview.html", context)


def _subscriptions(own: dict[str, str], now: int) -> list[Subscription]:
    items = SubscriptionItem.objects.select_related("price__product").order_by("price__product__name")
    ended_last = Case(When(status__in=ENDED, then=Value(1)), default=Value(0), output_field=IntegerField())
    subscriptions = list(
        Subscription.objects.filter(**own)
        .order_by(ended_last, "-created", "id")
        .prefetch_related(Prefetch("items", items))[:500]
    )
    discounts = _discounts(own, now)
    planned: dict[str, list[PhaseItem]] = {}
    future_items = PhaseItem.objects.select_related("phase__schedule", "price__product").filter(
        phase__schedule__subscription__in=[s.id for s in subscriptions],
        phase__schedule__status="active",
        phase__start_date__gt=now,
    )
    for item in future_items:
        planned.setdefault(item.phase.schedule.subscription_id, []).append(item)
    for subscription in subscriptions:
        applicable = [d for d in discounts if d.subscription_id in (None, subscription.id)]
        plans.complete(subscription, applicable, planned.get(subscription.id, []))
    return subscriptions


def _discounts(own: dict[str, str], now: int) -> list[Discount]:
    discounts = list(Discount.objects.filter(Q(end=None) | Q(end__gt=now), **own).order_by("start", "id"))
    if discounts:
        coupon_ids = {discount.coupon_id for discount in discounts}
        coupons = {c.id: c for c in Coupon.objects.filter(account_id=own["account_id"], id__in=coupon_ids)}
        for discount in discounts:
            discount.coupon = coupons[discount.coupon_id]
    return discounts


def _methods(
    own: dict[str, str], default: str | None, subscriptions: list[Subscription], now: int
) -> list[PaymentMethod]:
    methods = list(PaymentMethod.objects.filter(detached_at=None, **own).order_by("-created", "id")[:100])
    methods.sort(key=lambda method: method.id != default)
    for method in methods:
        plans.complete_method(method, default, subscriptions, now)
    return methods


def _invoices(own: dict[str, str]) -> QuerySet[Invoice]:
    return Invoice.objects.filter(**own).exclude(status="draft").order_by("-created", "-id")

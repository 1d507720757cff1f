"""The overview page, with at most a dozen queries regardless of the customer's data."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Case, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bench.twin import actions, plans, wording
from bench.twin.models import Coupon, Discount, Invoice, PaymentMethod, PhaseItem, Subscription, SubscriptionItem, TaxId

SHORT, MOST_OPEN, MOST_DUE, TRIAL_NOTICE = 6, 20, 3, 7 * 24 * 60 * 60
ENDED = ("canceled", "incomplete_expired")


@require_safe
def show_overview(request: HttpRequest) -> HttpResponse:
    """The overview page."""
    row, now = request.session_row, request.now  # type: ignore[attr-defined]
    own = {"account_id": row.account_id, "customer_id": row.customer_id}
    account, customer, configuration = row.account, row.customer, row.configuration
    features = configuration.features
    allowed = features["customer_update"]["allowed_updates"]
    subscriptions = _subscriptions(own, now)
    methods = _methods(own, customer.default_payment_method_id, subscriptions, now)
    open_invoices = list(_invoices(own).filter(status="open")[:MOST_OPEN])
    _complete_cards(subscriptions, open_invoices, features, now)
    recent = list(_invoices(own)[: SHORT + 1])
    for invoice in recent:
        invoice.words, invoice.tone = wording.invoice_state(invoice, now)
    expiring = [method for method in methods if method.expiry and (method.is_default or method.used_by)]
    context = {
        "now": now,
        "account": account,
        "customer": customer,
        "configuration": configuration,
        "livemode": row.livemode,
        "features": features,
        "allowed": allowed,
        "can_edit": any(name != "tax_id" for name in allowed),
        "facts": wording.facts(customer),
        "missing": wording.missing(customer, allowed),
        "return_url": row.return_url or configuration.default_return_url,
        "terms": configuration.terms_of_service_url or account.terms_of_service_url,
        "privacy": configuration.privacy_policy_url or account.privacy_policy_url,
        "theme": "{background}-{button}-{font}-{shape}".format(**account.branding).replace("#", ""),
        "credit": -customer.balance if customer.currency else 0,
        "section_title": wording.section_title(subscriptions),
        "subscriptions": subscriptions,
        "methods": methods,
        "recent": recent[:SHORT],
        "more_invoices": len(recent) > SHORT,
        "open_invoices": open_invoices,
        "due": open_invoices[:MOST_DUE] if features["invoice_history"]["enabled"] else open_invoices,
        "tax_ids": list(TaxId.objects.filter(**own).order_by("created", "id")[:50]),
        "expiring": expiring if features["payment_method_update"]["enabled"] else [],
        "trials_ending": [
            s
            for s in subscriptions
            if s.status == "trialing" and s.trial_end and now <= s.trial_end <= now + TRIAL_NOTICE
        ],
    }
    return render(request, "overview.html", context)


def _subscriptions(own: dict[str, str], now: int) -> list[Subscription]:
    items = SubscriptionItem.objects.select_related("price__product").order_by("created", "id")
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
            discount.words = wording.discount(discount)
    return discounts


def _methods(
    own: dict[str, str], default: str | None, subscriptions: list[Subscription], now: int
) -> list[PaymentMethod]:
    methods = list(PaymentMethod.objects.filter(detached_at=None, **own).order_by("-created", "id")[:100])
    methods.sort(key=lambda method: method.id != default)
    plans.complete_methods(methods, default, subscriptions, now)
    return methods


def _complete_cards(
    subscriptions: Sequence[Subscription], open_invoices: Sequence[Invoice], features: dict[str, Any], now: int
) -> None:
    """Add what the cards of the subscriptions say and offer, which depends on what else the page has."""
    unpaid = {invoice.subscription_id for invoice in open_invoices}
    for subscription in subscriptions:
        subscription.has_open_invoice = subscription.id in unpaid
        subscription.badge = wording.badge(subscription)
        subscription.next_step = wording.next_step(subscription, now)
        subscription.notes = wording.notes(subscription, now)
        subscription.trial_progress = wording.trial_progress(subscription, now)
        subscription.actions = actions.of(subscription, features, now)
        for item in subscription.lines[:5]:
            item.contents = wording.contents(item, several=len(subscription.lines) > 1)


def _invoices(own: dict[str, str]) -> QuerySet[Invoice]:
    return Invoice.objects.filter(**own).exclude(status="draft").order_by("-created", "-id")

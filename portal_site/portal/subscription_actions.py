"""The actions for a subscription, as the links and buttons that are shown with it."""

from dataclasses import dataclass

from flask import g

from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web import urls
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.units import plural

FILLED, PLAIN, LEAVE = "button", "button button-plain", "quiet leave"


@dataclass(frozen=True)
class Action:
    """A link, or with `posts` a form of one button. `test` and `test_id` are what published browser tests look for."""

    words: str
    address: str
    look: str
    posts: bool = False
    test: str | None = None
    test_id: str | None = None


def of(subscription: SubscriptionView, now: int) -> list[Action]:
    """The visitor's actions, the likeliest first. A pending payment has its own buttons."""
    features: Features = g.visitor.features
    if subscription.status.ended:
        return _restart(subscription) if features.subscription_restart.enabled else []
    return [
        *_see_what_is_due(subscription),
        *_resume(subscription, features),
        *_keep(subscription, features),
        *_undo(subscription, features),
        *_change(subscription, features, now),
        *_pause(subscription, features),
        *_cancel(subscription, features),
    ]


def _to(endpoint: str, subscription: SubscriptionView) -> str:
    return urls.url_for(f"portal.{endpoint}", subscription_id=subscription.id)


def _restart(subscription: SubscriptionView) -> list[Action]:
    return [Action(_("Resubscribe"), _to("show_restart", subscription), FILLED)]


def _see_what_is_due(subscription: SubscriptionView) -> list[Action]:
    """The way to pay for one that is on hold, but not on its own page, which shows the invoices."""
    shown = subscription.open_invoices or subscription.written_off
    if subscription.status != SubscriptionStatus.UNPAID or shown:
        return []
    return [Action(_("See what is due"), _to("show_subscription", subscription), FILLED)]


def _resume(subscription: SubscriptionView, features: Features) -> list[Action]:
    paused = subscription.status == SubscriptionStatus.PAUSED and not subscription.pending_update
    if not (features.subscription_pause.enabled and paused):
        return []
    return [Action(_("Resume subscription"), _to("show_resumption", subscription), FILLED)]


def _keep(subscription: SubscriptionView, features: Features) -> list[Action]:
    if not (features.subscription_cancel.enabled and subscription.can_be_kept):
        return []
    address = _to("keep_subscription", subscription)
    return [Action(_("Don’t cancel"), address, FILLED, posts=True, test="renew-subscription")]


def _undo(subscription: SubscriptionView, features: Features) -> list[Action]:
    planned = subscription.planned
    if not (features.subscription_update.enabled and planned and planned.by_customer):
        return []
    return [Action(_("Undo this change"), _to("undo_planned_change", subscription), PLAIN, posts=True)]


def _change(subscription: SubscriptionView, features: Features, now: int) -> list[Action]:
    changing = features.subscription_update
    if (
        not changing.enabled
        or subscription.pending_update
        or subscription.change_refusal(now, has_add_ons=bool(changing.add_on_ids))
    ):
        return []
    address, allowed = _to("show_plan_change", subscription), changing.default_allowed_updates
    counted = [
        item
        for item in subscription.items
        if item.quantity is not None
        and item.offer.product_id not in changing.add_on_ids
        and changing.limits(item.offer.product_id) is not None
    ]
    found = [Action(_("Change plan"), address, FILLED)] if "price" in allowed else []
    if "quantity" in allowed and counted:
        there = f"{address}#quantity-{counted[0].id}"
        words = change_quantity(counted[0].unit_label if len(counted) == 1 else None)
        found.append(Action(words, there, PLAIN if found else FILLED))
    return found or [Action(_("Change subscription"), address, FILLED)]


def change_quantity(unit_label: str | None) -> str:
    """The label for changing a quantity."""
    return _("Change %(units)s", units=plural(unit_label)) if unit_label else _("Change quantity")


def _pause(subscription: SubscriptionView, features: Features) -> list[Action]:
    running = subscription.status == SubscriptionStatus.ACTIVE and not subscription.cancel_at
    if not (features.subscription_pause.enabled and running) or subscription.pending_update:
        return []
    return [Action(_("Pause"), _to("show_pause", subscription), PLAIN)]


def _cancel(subscription: SubscriptionView, features: Features) -> list[Action]:
    leaving = features.subscription_cancel
    if not leaving.enabled or subscription.cancel_at:
        return []
    words = leaving.link_label or _("Cancel subscription")
    name = "cancel-subscription"
    return [Action(words, _to("show_cancellation", subscription), LEAVE, test=name, test_id=name)]

"""The actions of a subscription: a list of conditions with the same outcome as the portal's `subscription_actions`."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bench.twin.filters import plural
from bench.twin.models import Subscription, SubscriptionItem
from bench.twin.plans import RENEWING

FILLED, PLAIN, LEAVE = "button", "button button-plain", "quiet leave"


@dataclass(frozen=True)
class Action:
    """A link to a route of the subscription, or with `posts` a form of one button. `test` is the id for browser tests."""

    words: str | Promise
    route: str
    look: str
    posts: bool = False
    test: str = ""
    fragment: str = ""


RESTART = Action(_("Resubscribe"), "restart", FILLED)
SEE_WHAT_IS_DUE = Action(_("See what is due"), "subscription", FILLED)
RESUME = Action(_("Resume subscription"), "resumption", FILLED)
KEEP = Action(_("Don’t cancel"), "keep", FILLED, posts=True, test="renew-subscription")
UNDO = Action(_("Undo this change"), "undo_planned_change", PLAIN, posts=True)
CHANGE_PLAN = Action(_("Change plan"), "plan_change", FILLED)
CHANGE = Action(_("Change subscription"), "plan_change", FILLED)
PAUSE = Action(_("Pause"), "pause", PLAIN)
CANCEL = Action(_("Cancel subscription"), "cancellation", LEAVE, test="cancel-subscription")


def of(subscription: Subscription, features: dict[str, Any], now: int) -> list[Action]:
    """The actions that the configuration's features allow for a subscription at this moment."""
    changing, pausing = features["subscription_update"], features["subscription_pause"]["enabled"]
    canceling, restarting = features["subscription_cancel"], features["subscription_restart"]["enabled"]
    ends, state = subscription.ends_at, subscription.state
    running = not subscription.ended
    settled = running and not subscription.pending_update
    resumes = settled and pausing and state == "paused"
    changes = settled and changing["enabled"] and _can_change(subscription, now)
    by_price = "price" in changing["default_allowed_updates"]
    counted = _counted(subscription, changing) if changes else None
    conditions = (
        (subscription.ended and restarting, RESTART),
        (state == "unpaid", SEE_WHAT_IS_DUE),
        (resumes, RESUME),
        (running and canceling["enabled"] and subscription.can_be_kept, KEEP),
        (running and changing["enabled"] and subscription.planned_by_customer, UNDO),
        (changes and by_price, CHANGE_PLAN),
        (counted, counted and _change_quantity(counted, PLAIN if by_price else FILLED)),
        (changes and not by_price and not counted, CHANGE),
        (settled and pausing and state == "active" and not ends, PAUSE),
        (running and canceling["enabled"] and not ends, _cancel(canceling["link_label"])),
    )
    return [action for applies, action in conditions if applies]


def _can_change(subscription: Subscription, now: int) -> bool:
    """Whether the plan can be changed now. Metered prices, which cannot, are not in the data."""
    arranged = subscription.planned and not subscription.planned_by_customer
    return (
        not arranged
        and subscription.ends_at is None
        and not subscription.is_paused
        and subscription.collection_method != "send_invoice"
        and not subscription.has_open_invoice
        and subscription.status in RENEWING
        and all(item.current_period_end > now for item in subscription.lines)
    )


def _counted(subscription: Subscription, changing: dict[str, Any]) -> list[SubscriptionItem]:
    """The items whose quantity the customer may change."""
    if "quantity" not in changing["default_allowed_updates"]:
        return []
    fixed = {product["product"] for product in changing["add_ons"]}
    fixed |= {
        p["product"] for p in changing["products"] if not (p.get("adjustable_quantity") or {}).get("enabled", True)
    }
    return [i for i in subscription.lines if i.quantity is not None and i.price.product_id not in fixed]


def _change_quantity(counted: list[SubscriptionItem], look: str) -> Action:
    item = counted[0]
    label = item.price.product.unit_label if len(counted) == 1 else None
    words = gettext("Change %(units)s") % {"units": plural(label)} if label else gettext("Change quantity")
    return Action(words, "plan_change", look, fragment=f"#quantity-{item.id}")


def _cancel(label: str | None) -> Action:
    return Action(label, CANCEL.route, LEAVE, test=CANCEL.test) if label else CANCEL

"""What the pages of webhook endpoints say of an endpoint and of a delivery."""

from dataclasses import dataclass

from portal_site.billing.events import types
from portal_site.billing.models import WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks.endpoints import ENABLED, FAILED, SUCCEEDED
from portal_site.web.rendering import filters

Badge = dict[str, str]
ON, OFF = {"label": "Enabled", "tone": "good"}, {"label": "Disabled", "tone": "neutral"}
FAILING, GIVEN_UP = {"label": "Failing", "tone": "warning"}, {"label": "Disabled", "tone": "bad"}
SENT, LOST, WAITS = (
    {"label": "Delivered", "tone": "good"}, {"label": "Given up", "tone": "bad"}, {"label": "Waiting", "tone": "warning"},
)  # fmt: skip
MOST_NAMED = 3  # types of events that a list names


def badge_of(row: WebhookEndpoint) -> Badge:
    """The state of an endpoint."""
    if row.status != ENABLED:
        return GIVEN_UP if row.gave_up_at is not None else OFF
    return FAILING if row.failures else ON


def sentences(row: WebhookEndpoint, now: int) -> list[str]:
    """What is to be known of an endpoint's state."""
    if row.gave_up_at is not None:
        return [
            f"Nothing had reached it for three days, so it was disabled on {filters.minute(row.gave_up_at)}. Events from before "
            "are not sent by themselves when you enable it."
        ]
    found = []
    if row.status == ENABLED and row.failures and row.failing_since is not None:
        times = "The last try" if row.failures == 1 else f"The last {row.failures} tries"
        found.append(f"{times} failed, since {filters.minute(row.failing_since)}.")
        if row.paused_until > now:
            found.append(f"The next try is on {filters.minute(row.paused_until)}.")
    if row.former_secret_until is not None and row.former_secret_until > now:
        found.append(f"The secret of before counts until {filters.minute(row.former_secret_until)}.")
    return found


def events_of(row: WebhookEndpoint) -> str:
    """Which events an endpoint gets."""
    names = row.enabled_events
    whose = " of connected accounts" if row.connect else ""
    if types.ALL in names:
        return f"All events{whose}"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}{whose}"


@dataclass(frozen=True)
class Shown:
    """A delivery as the page shows it."""

    event_id: str
    type: str
    badge: Badge
    words: str


def shown(row: WebhookDelivery) -> Shown:
    """How the last try ended, and when the next one is."""
    badge = SENT if row.status == SUCCEEDED else LOST if row.status == FAILED else WAITS
    tried = (
        f"{filters.minute(row.tried_at)}: {row.fault or f'it answered {row.response_status}'}" if row.tried_at else ""
    )
    count = f"{row.attempts} tries" if row.attempts > 1 else ""
    due = f"next try on {filters.minute(row.due_at)}" if row.due_at is not None else ""
    return Shown(row.event_id, row.event_type, badge, ", ".join(filter(None, (tried, count, due))))

"""Events that did not come: Stripe keeps them for 30 days, and is asked once an hour which there were.

So an endpoint that was down, or of which there is none, loses nothing; it only learns of it later.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import update

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import ReceivedEvent
from portal_site.billing.gateways.stripe import events
from portal_site.billing.gateways.stripe.client import errors
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.db.transactions import transaction

# In seconds.
EVERY = 60 * 60
OVERLAP = 10 * 60  # an event can appear a while after its own instant
WINDOW = 6 * 60 * 60  # the most that is read at once, so that one account does not hold up the others
KEPT = 30 * 24 * 60 * 60
log = logging.getLogger("portal.billing")


def events_of(
    connections: Iterable[StripeConnection], client_of: Callable[[StripeConnection], Any], at: int
) -> Iterator[tuple[str, ReceivedEvent]]:
    """The events of these connections since they were last asked about, with their accounts."""
    import stripe

    for row in connections:
        since = max(row.events_until - OVERLAP, at - KEPT)
        until = min(since + OVERLAP + WINDOW, at)
        try:
            with errors():
                listed = client_of(row).v1.events.list(
                    {"types": list(events.TYPES), "created": {"gte": since, "lte": until}, "limit": 100}
                )
                for one in listed.auto_paging_iter():
                    yield row.account_id, events.received(one.to_dict())
        except (GatewayUnavailable, stripe.StripeError) as error:
            log.warning("Stripe does not say which events there were: %s", error)
            continue
        _note(row, until)


def _note(row: StripeConnection, until: int) -> None:
    with transaction() as session:
        where = StripeConnection.account_id == row.account_id, StripeConnection.livemode.is_(row.livemode)
        session.execute(update(StripeConnection).where(*where).values(events_until=until))

"""The rows of subscriptions that a billing run processes."""

from typing import TYPE_CHECKING

from portal_site.billing.models import Subscription

if TYPE_CHECKING:

    class DueSubscription(Subscription):
        """A row with the columns of a subscription, and the id of one of its active schedules, if it has any."""

        schedule_id: str | None
else:
    DueSubscription = Subscription

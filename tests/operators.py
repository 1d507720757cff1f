"""What an operator does at the command line, for tests."""

from typing import Any

from portal_site import clock
from portal_site.billing.cancellation import requests
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.portal_access import logins


def set_login_page(configuration_id: str, **options: Any) -> str | None:
    """As `logins.set_page`."""
    with acting_as(ActorType.OPERATOR):
        return logins.set_page(configuration_id, **options)


def set_cancellation_page(account_id: str, **options: Any) -> str | None:
    """As `requests.set_page`, now."""
    with acting_as(ActorType.OPERATOR):
        return requests.set_page(account_id, at=clock.now(), **options)

"""Fixtures of the dashboard's tests."""

from collections.abc import Iterator

import pytest
import time_machine
from flask import Flask

from portal_site.billing.accounts import portal_configurations
from portal_site.billing.events.actors import ActorType, acting_as
from tests import world
from tests.dashboard.counter import Counter
from tests.dashboard.desk import Desk
from tests.dashboard.staff import account, employ, sign_in

AT = world.HALF


@pytest.fixture
def desk(lite_app: Flask) -> Iterator[Desk]:
    """An owner at the settings of a merchant with a customer."""
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        shop = world.shop(add_ons=True)
        owner = employ(shop.customer.account_id)
        configuration = portal_configurations.of_account(shop.customer.account_id)[0]
        yield Desk(lite_app, sign_in(lite_app, owner), shop, configuration.id)


@pytest.fixture
def counter(lite_app: Flask) -> Iterator[Counter]:
    """An owner at the empty catalogue of a merchant, in test mode."""
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        account_id = account()
        yield Counter(lite_app, sign_in(lite_app, employ(account_id)), account_id)

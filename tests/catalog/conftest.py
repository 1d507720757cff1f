"""A merchant whose catalogue is empty."""

import pytest
from flask import Flask

from tests import world


@pytest.fixture
def account_id(app: Flask) -> str:
    """The account of a merchant, on each database in turn."""
    with world.merchant() as made:
        return made.account.id


@pytest.fixture
def lite_account_id(lite_app: Flask) -> str:
    """The account of a merchant, on SQLite."""
    with world.merchant() as made:
        return made.account.id

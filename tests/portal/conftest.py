"""Fixtures of the portal's tests."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from flask import Flask

from portal_site.billing.portal_access.email_links import Purpose
from tests import world
from tests.portal.email_link_visits import link_to, open_invoice
from tests.portal.logging_in import AT


@pytest.fixture
def owing(lite_app: Flask) -> Iterator[tuple[world.Scene, Any, str]]:
    """A customer with an unpaid invoice, the invoice, and a link to it from an e-mail."""
    scene = world.scene(last="open")
    invoice = open_invoice(scene)
    with time_machine.travel(AT, tick=False):
        yield scene, invoice, link_to(lite_app, Purpose.INVOICE, scene, invoice.id)

"""Confirmations: valid for half an hour, to the second, and only for the terms that were shown."""

import pytest

from portal_site.billing.errors import StateChanged
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.rules.subscriptions.plan_change import QUOTE_LIFETIME

SHOWN = Confirmation(1_000, "terms", "key")


@pytest.mark.case("D1")
@pytest.mark.parametrize("later", [0, 1, 30 * 60])
def test_a_confirmation_is_valid_for_half_an_hour(later: int) -> None:
    SHOWN.check_time(1_000 + later)
    assert QUOTE_LIFETIME == 30 * 60


@pytest.mark.case("D1")
@pytest.mark.parametrize("later", [-1, 30 * 60 + 1, 10**9])
def test_a_confirmation_is_invalid_before_and_after(later: int) -> None:
    with pytest.raises(StateChanged, match="has expired"):
        SHOWN.check_time(1_000 + later)


@pytest.mark.case("D1")
def test_a_confirmation_of_other_terms_is_refused() -> None:
    SHOWN.check("terms")
    with pytest.raises(StateChanged, match="have changed"):
        SHOWN.check("other terms")

"""Tax rates: what is stored of them, what is refused, their events."""

from decimal import Decimal
from typing import Any

import pytest

from portal_site.billing.catalog import tax_rates
from portal_site.billing.errors import NotFound
from tests.catalog.catalogue import AT, DAY, LIVE, TEST, events, refusal

VAT: dict[str, Any] = {"display_name": "VAT", "percentage": Decimal("19.60"), "inclusive": False}


def test_a_tax_rate_is_stored_as_it_was_entered(account_id: str) -> None:
    row = tax_rates.create(
        account_id,
        TEST,
        AT,
        **VAT,
        description="of France",
        country="fr",
        state="idf",
        jurisdiction="FR",
        metadata={"a": "1"},
    )
    stored = tax_rates.get(account_id, TEST, row.id)
    assert (stored.display_name, stored.percentage, stored.inclusive) == ("VAT", "19.6", False)
    assert (stored.country, stored.state, stored.jurisdiction, stored.description) == ("FR", "IDF", "FR", "of France")
    [(kind, data)] = events(account_id)
    assert (kind, data["object"]["percentage"], data["object"]["active"]) == ("tax_rate.created", 19.6, True)


def test_a_change_emits_what_was_different(account_id: str) -> None:
    row = tax_rates.create(account_id, TEST, AT, **VAT)
    tax_rates.update(
        account_id, TEST, row.id, AT + DAY, display_name="TVA", jurisdiction="FR", active=False, description="old"
    )
    kind, data = events(account_id)[-1]
    assert (kind, data["object"]["display_name"]) == ("tax_rate.updated", "TVA")
    assert data["previous_attributes"] == {
        "display_name": "VAT", "jurisdiction": None, "active": True, "description": None,
    }  # fmt: skip
    assert isinstance(refusal(lambda: tax_rates.get(account_id, LIVE, row.id)), NotFound)


@pytest.mark.parametrize("member", ["percentage", "inclusive"])
def test_what_it_is_in_percent_cannot_be_changed(lite_account_id: str, member: str) -> None:
    row = tax_rates.create(lite_account_id, TEST, AT, **VAT)
    changes: Any = {member: 1}
    with pytest.raises(ValueError, match=member):
        tax_rates.update(lite_account_id, TEST, row.id, AT, **changes)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 51}, "display_name"),
        ({"jurisdiction": "x" * 51}, "jurisdiction"),
        ({"percentage": Decimal("-0.1")}, "percentage"),
        ({"percentage": Decimal("100.0001")}, "percentage"),
        ({"percentage": Decimal("8.87501")}, "percentage"),
        ({"percentage": Decimal("sNaN")}, "percentage"),
        ({"country": "FRA"}, "country"),
        ({"country": "F1"}, "country"),
        ({"state": "US-NY"}, "state"),
    ],
)
def test_what_a_tax_rate_cannot_be_is_refused(lite_account_id: str, members: Any, param: str) -> None:
    assert refusal(lambda: tax_rates.create(lite_account_id, TEST, AT, **{**VAT, **members})).param == param
    assert events(lite_account_id) == []


@pytest.mark.parametrize("percentage", ["0", "100", "8.8750"])
def test_a_percentage_has_up_to_four_decimals(lite_account_id: str, percentage: str) -> None:
    row = tax_rates.create(lite_account_id, TEST, AT, **{**VAT, "percentage": Decimal(percentage)})
    assert Decimal(row.percentage) == Decimal(percentage)

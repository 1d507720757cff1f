"""Products: what is stored of them, what is refused, their events, and when one can be deleted."""

from typing import Any

import pytest

from portal_site.billing.catalog import coupons, prices, products
from portal_site.billing.errors import NotFound
from portal_site.billing.models import Product
from portal_site.billing.rules.portal.portal_features import Features, SubscriptionUpdate
from tests import world
from tests.catalog.catalogue import AT, DAY, LIVE, TEN_A_MONTH, TENTH, TEST, events, product, refusal


def test_a_product_is_stored_as_it_was_entered(account_id: str) -> None:
    row = products.create(
        account_id, LIVE, AT,
        name=" Team ", description="For teams.\r\nOf any size.", unit_label="seat", marketing_features=["SSO", "Audit log"],
        metadata={"crm": "7", "nothing": ""},
    )  # fmt: skip
    stored = products.get(account_id, LIVE, row.id)
    assert (stored.name, stored.description, stored.unit_label) == ("Team", "For teams.\nOf any size.", "seat")
    assert stored.marketing_features == [{"name": "SSO"}, {"name": "Audit log"}]
    assert (stored.active, stored.created, stored.updated, stored.metadata_) == (True, AT, AT, {"crm": "7"})
    [(kind, data)] = events(account_id)
    assert (kind, data["object"]["id"], data["object"]["livemode"]) == ("product.created", row.id, True)
    assert data["object"]["marketing_features"] == [{"name": "SSO"}, {"name": "Audit log"}]


def test_a_change_emits_what_was_different(account_id: str) -> None:
    row = products.create(account_id, TEST, AT, name="Team", metadata={"a": "1", "b": "2"})
    changed = products.update(
        account_id, TEST, row.id, AT + DAY,
        name="Crew", description=None, unit_label="seat", active=False, metadata={"a": "", "b": "3", "c": "4"},
    )  # fmt: skip
    assert (changed.name, changed.active, changed.metadata_) == ("Crew", False, {"b": "3", "c": "4"})
    kind, data = events(account_id)[-1]
    assert kind == "product.updated"
    assert data["previous_attributes"] == {
        "name": "Team", "unit_label": None, "active": True, "metadata": {"a": "1", "b": "2", "c": None}, "updated": AT,
    }  # fmt: skip
    assert (data["object"]["updated"], data["object"]["name"]) == (AT + DAY, "Crew")


def test_a_change_to_what_it_is_already_is_none(account_id: str) -> None:
    row = products.create(account_id, TEST, AT, name="Team", metadata={"a": "1"})
    same = products.update(account_id, TEST, row.id, AT + DAY, name="Team ", active=True, metadata={"a": "1"})
    assert (same.updated, [kind for kind, _ in events(account_id)]) == (AT, ["product.created"])
    assert products.update(account_id, TEST, row.id, AT + DAY, metadata=None).metadata_ == {}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 251}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"description": "x" * 5001}, "description"),
        ({"description": "bell\a"}, "description"),
        ({"unit_label": "x" * 13}, "unit_label"),
        ({"marketing_features": ["x"] * 16}, "marketing_features"),
        ({"marketing_features": ["x", "x" * 81]}, "marketing_features[1][name]"),
        ({"marketing_features": [""]}, "marketing_features[0][name]"),
        ({"metadata": {"x" * 41: "1"}}, "metadata"),
        ({"metadata": {"a[b]": "1"}}, "metadata"),
        ({"metadata": {"": "1"}}, "metadata"),
        ({"metadata": {"a": "x" * 501}}, "metadata[a]"),
        ({"metadata": {"a": "\0"}}, "metadata[a]"),
        ({"metadata": {str(number): "1" for number in range(51)}}, "metadata"),
    ],
)
def test_what_a_product_cannot_be_is_refused(lite_account_id: str, members: dict[str, Any], param: str) -> None:
    row = product(lite_account_id)
    assert refusal(lambda: products.create(lite_account_id, TEST, AT, **{"name": "Team", **members})).param == param
    assert refusal(lambda: products.update(lite_account_id, TEST, row.id, AT, **members)).param == param  # type: ignore[arg-type]
    assert len(events(lite_account_id)) == 1
    products.update(lite_account_id, TEST, row.id, AT, name="x" * 250, description="x" * 5000, unit_label="x" * 12)


def test_only_what_can_be_changed_is_taken(lite_account_id: str) -> None:
    row = product(lite_account_id)
    changes: Any = {"created": 1, "account_id_": "acct_x", "name": "Crew"}
    with pytest.raises(ValueError, match="account_id_, created"):
        products.update(lite_account_id, TEST, row.id, AT, **changes)
    assert products.get(lite_account_id, TEST, row.id).name == "Team"


def test_a_product_of_another_account_or_mode_does_not_exist(account_id: str) -> None:
    row = product(account_id)
    with world.merchant("Other") as other:
        pass
    for owner, mode, name in ((other.account.id, TEST, row.id), (account_id, LIVE, row.id), (account_id, TEST, "a\0")):
        for action in (
            lambda: products.get(owner, mode, name),  # noqa: B023 - called at once
            lambda: products.update(owner, mode, name, AT, active=False),  # noqa: B023
            lambda: products.delete(owner, mode, name, AT),  # noqa: B023
            lambda: prices.create(owner, mode, AT, name, TEN_A_MONTH),  # noqa: B023
            lambda: coupons.create(owner, mode, AT, TENTH, applies_to=[name]),  # noqa: B023
        ):
            error = refusal(action)
            assert isinstance(error, NotFound)
            assert error.message % error.values == f"No such product: '{name}'"
    assert products.get(account_id, TEST, row.id).active


def test_a_product_that_nothing_names_can_be_deleted(account_id: str) -> None:
    row = product(account_id)
    products.delete(account_id, TEST, row.id, AT + DAY)
    assert isinstance(refusal(lambda: products.get(account_id, TEST, row.id)), NotFound)
    kind, data = events(account_id)[-1]
    assert (kind, data["object"]["id"], data["object"]["active"]) == ("product.deleted", row.id, False)


def _with_a_price(account_id: str, row: Product) -> None:
    prices.create(account_id, TEST, AT, row.id, TEN_A_MONTH, active=False)


def _with_a_coupon(account_id: str, row: Product) -> None:
    coupons.create(account_id, TEST, AT, TENTH, applies_to=[row.id])


def _with_a_portal(account_id: str, row: Product) -> None:
    with world.transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, account_id))
        update = SubscriptionUpdate(enabled=True, products=({"product": row.id, "prices": ["price_x"]},))
        made.configuration(Features(subscription_update=update), is_default=False)


@pytest.mark.parametrize("use", [_with_a_price, _with_a_coupon, _with_a_portal])
def test_a_product_that_is_in_use_cannot_be_deleted(account_id: str, use: Any) -> None:
    row = product(account_id)
    use(account_id, row)
    error = refusal(lambda: products.delete(account_id, TEST, row.id, AT))
    assert (error.param, "archive" in str(error)) == ("product", True)
    assert products.get(account_id, TEST, row.id).active

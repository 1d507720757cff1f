"""API keys in the dashboard: shown once, rolled, revoked, and each of it an event without what is secret."""

import re
from typing import Any

import pytest
import time_machine

from portal_site import clock
from portal_site.billing.api_access import api_keys
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import ApiKey, Event
from portal_site.staff.sessions import FRESH
from tests.client import text
from tests.dashboard.counter import Counter
from tests.dashboard.staff import account

TOKEN = re.compile(r"[rs]k_(?:test|live)_[0-9A-Za-z]{44}")
HOUR = 60 * 60


def _create(counter: Counter, **data: str) -> str:
    """Create a key; its token."""
    made = counter.send("api-keys", **{"kind": "secret", **data})
    assert made.status_code == 200
    (token,) = TOKEN.findall(made.text)
    return str(token)


def _ask(counter: Counter, token: str, path: str = "/v1/customers") -> int:
    there = counter.app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})
    return int(there.status_code)


def test_a_key_works_from_its_creation_until_it_is_revoked(counter: Counter) -> None:
    token = _create(counter, name="Shop")
    assert _ask(counter, token) == 200
    assert token.startswith("sk_test_")
    page = counter.get("api-keys")
    assert TOKEN.search(page.text) is None  # shown once
    assert f"sk_test_…{token[-4:]} Shop may do everything" in text(page.text)
    (row,) = counter.rows(ApiKey)
    question = counter.get(f"api-keys/{row.id}/end")
    assert "Revoke Shop?" in text(question.text)
    assert _ask(counter, token) == 200
    assert counter.send(f"api-keys/{row.id}/end").status_code == 303
    assert _ask(counter, token) == 401
    page = text(counter.get("api-keys").text)
    assert "There is no key in test mode." in page
    assert "Keys that work no more" in page
    assert counter.send(f"api-keys/{row.id}/end").status_code == 422


def test_a_restricted_key_of_live_mode(counter: Counter) -> None:
    counter.mode = "live"
    token = _create(counter, kind="restricted", customers="read")
    assert token.startswith("rk_live_")
    (row,) = counter.rows(ApiKey)
    assert (row.livemode, row.rights) == (True, {"customers": "read"})
    assert _ask(counter, token) == 200
    assert _ask(counter, token, "/v1/billing_portal/configurations") == 403
    assert "customers: read, since" in text(counter.get("api-keys").text)
    counter.mode = "test"
    assert "rk_live" not in counter.get("api-keys").text
    assert counter.get(f"api-keys/{row.id}/end").status_code == 404


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "restricted"}, "Choose what a restricted key may do."),
        ({"kind": "magic"}, "Not a valid choice"),
        ({"kind": "restricted", "customers": "everything"}, "Not a valid choice"),
        ({"name": "x" * 101}, "at most 100 characters"),
    ],
)
def test_a_key_that_cannot_be_is_refused(counter: Counter, data: dict[str, str], words: str) -> None:
    refused = counter.send("api-keys", **{"kind": "secret", "name": "Kept", **data})
    assert (refused.status_code, words in text(refused.text)) == (422, True)
    assert "Kept" in refused.text or "name" in data
    assert counter.rows(ApiKey) == []


@pytest.mark.parametrize("kept", [0, HOUR, 24 * HOUR, 7 * 24 * HOUR])
def test_a_rolled_key_works_beside_the_new_one_for_as_long_as_was_chosen(counter: Counter, kept: int) -> None:
    old, at = _create(counter, kind="restricted", customers="write"), clock.now()
    (row,) = counter.rows(ApiKey)
    rolled = counter.send(f"api-keys/{row.id}/replacement", "api-keys", kept=str(kept))
    (new,) = TOKEN.findall(rolled.text)
    assert new != old
    assert {row.rights["customers"] for row in counter.rows(ApiKey)} == {"write"}
    assert (_ask(counter, old), _ask(counter, new)) == (200 if kept else 401, 200)
    with time_machine.travel(at + max(kept - 1, 0), tick=False):
        assert _ask(counter, old) == (200 if kept else 401)
    with time_machine.travel(at + kept, tick=False):
        assert (_ask(counter, old), _ask(counter, new)) == (401, 200)


def test_for_how_long_is_one_of_the_choices(counter: Counter) -> None:
    _create(counter)
    (row,) = counter.rows(ApiKey)
    refused = counter.send(f"api-keys/{row.id}/replacement", "api-keys", kept="999999999")
    assert (refused.status_code, len(counter.rows(ApiKey))) == (422, 1)


def test_rolling_again_lets_the_old_key_work_no_longer(counter: Counter) -> None:
    old = _create(counter)
    (row,) = counter.rows(ApiKey)
    for kept in (HOUR, 7 * 24 * HOUR):
        counter.send(f"api-keys/{row.id}/replacement", "api-keys", kept=str(kept))
    with time_machine.travel(clock.now() + HOUR, tick=False):
        assert _ask(counter, old) == 401


def test_a_key_of_another_account_is_not_found(counter: Counter) -> None:
    other = account()
    made = api_keys.create(other, clock.now(), livemode=False).row
    for action in (api_keys.roll, api_keys.revoke):
        with pytest.raises(NotFound):
            action(counter.account_id, made.id, clock.now())
    with pytest.raises(NotFound):
        api_keys.get(other, True, made.id)
    with pytest.raises(NotFound):
        api_keys.owner("key_none")
    assert api_keys.owner(made.id) == other
    assert api_keys.get(other, False, made.id).expires_at is None
    api_keys.revoke(other, made.id, clock.now())
    with pytest.raises(BillingError, match="ended already"):
        api_keys.roll(other, made.id, clock.now())


def test_what_happens_to_keys_is_kept_with_who_did_it_and_without_the_token(counter: Counter) -> None:
    token = _create(counter, name="Shop")
    (row,) = counter.rows(ApiKey)
    counter.send(f"api-keys/{row.id}/replacement", "api-keys", kept=str(HOUR))
    counter.send(f"api-keys/{row.id}/end")
    found = sorted((row for row in counter.rows(Event) if row.type.startswith("api_key")), key=lambda row: row.sequence)
    assert [(row.type, row.actor_type) for row in found] == [
        ("api_key.created", "user"), ("api_key.updated", "user"), ("api_key.created", "user"), ("api_key.deleted", "user"),
    ]  # fmt: skip
    ends: Any = found[1].data
    assert ends["previous_attributes"] == {"expires_at": None}
    assert ends["object"]["expires_at"] == clock.now() + HOUR
    written = str([row.data for row in found])
    assert token not in written
    assert all(key.token_hash not in written for key in counter.rows(ApiKey))
    assert "token" not in written


def test_keys_ask_who_it_is_after_a_while(counter: Counter) -> None:
    with time_machine.travel(clock.now() + FRESH + 1, tick=False):
        asked = counter.get("api-keys")
    assert asked.status_code == 303
    assert asked.location.startswith("/dashboard/proof")


def test_a_page_with_a_key_is_not_kept_by_the_browser(counter: Counter) -> None:
    made = counter.send("api-keys", kind="secret")
    assert "no-store" in made.headers["Cache-Control"]

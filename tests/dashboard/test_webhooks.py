"""Webhook endpoints in the dashboard: added, looked at, sent to again, rolled, switched and deleted."""

import re

import pytest

from portal_site import clock
from portal_site.billing.billing_run import clean_up
from portal_site.billing.customers import customers
from portal_site.billing.models import Event, WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks import endpoints, queue
from portal_site.billing.webhooks.queue import Outcome
from tests.client import text
from tests.dashboard.counter import Counter

SECRET = re.compile(r"whsec_[0-9A-Za-z]{44}")
NEW = {"url": "https://shop.example/hook", "events": "invoice.paid\ncustomer.created"}


def _create(counter: Counter, **data: str) -> tuple[WebhookEndpoint, str]:
    made = counter.send("webhooks", **{**NEW, **data})
    assert made.status_code == 200, text(made.text)
    (secret,) = SECRET.findall(made.text)
    return counter.rows(WebhookEndpoint)[-1], str(secret)  # type: ignore[return-value]


def _try(counter: Counter, endpoint_id: str, *outcomes: Outcome) -> None:
    """Let a customer be made for each outcome, and a worker come to that."""
    with counter.app.app_context():
        at = clock.now()
        for _ in outcomes:
            customers.create(counter.account_id, False, {"name": "Ada"}, at)
        row = queue.claim(endpoint_id, at)
        assert row is not None
        for job, outcome in zip(queue.next_batch(row, at).jobs, outcomes, strict=True):
            queue.record(row, job, outcome, at, lambda *_: None)
        queue.release(row, None)


def test_an_endpoint_is_added_and_its_secret_shown_once(counter: Counter) -> None:
    row, secret = _create(counter, description="Books")
    assert (row.enabled_events, row.livemode, row.connect) == (["invoice.paid", "customer.created"], False, False)
    page = counter.get("webhooks")
    assert SECRET.search(page.text) is None
    assert "https://shop.example/hook Books invoice.paid, customer.created" in text(page.text)
    one = counter.get(f"webhooks/{row.id}")
    assert (SECRET.search(one.text), "Nothing was sent in the last 30 days." in one.text) == (None, True)
    assert secret not in str([event.data for event in counter.rows(Event)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"url": ""}, "URL is required."),
        ({"url": "shop"}, "Not a valid URL"),
        ({"url": "http://127.0.0.1/"}, "reachable from the internet"),
        ({"events": ""}, "List of event types is required."),
        ({"events": "invoice.payed"}, "Invalid enabled_events[0]"),
        ({"events": "*, invoice.paid"}, "send it alone"),
    ],
)
def test_what_is_refused_stands_at_its_field(counter: Counter, data: dict[str, str], words: str) -> None:
    refused = counter.send("webhooks", **{**NEW, **data})
    assert (refused.status_code, words in text(refused.text)) == (422, True), text(refused.text)
    assert counter.rows(WebhookEndpoint) == []


def test_deliveries_are_shown_and_sent_again(counter: Counter) -> None:
    row, _secret = _create(counter)
    _try(counter, row.id, Outcome(200), Outcome(500, "it answered 500"))
    page = text(counter.get(f"webhooks/{row.id}").text)
    assert ("Failing" in page, "The last try failed, since" in page) == (True, True)
    assert re.search(
        r"customer.created evt_\w+ [^:]+:\d\d.*?: it answered 500, next try on .*? Waiting Send again", page
    )
    assert re.search(r": it answered 200 Delivered Send again", page)
    delivered = next(one for one in counter.rows(WebhookDelivery) if one.status == "succeeded")
    sent = counter.send(f"webhooks/{row.id}/deliveries/{delivered.event_id}", f"webhooks/{row.id}")
    assert sent.status_code == 303
    again = next(one for one in counter.rows(WebhookDelivery) if one.id == delivered.id)
    assert (again.status, again.attempts) == ("pending", 0)
    assert counter.send(f"webhooks/{row.id}/deliveries/evt_none", f"webhooks/{row.id}").status_code == 404


def test_a_new_secret_and_the_one_before(counter: Counter) -> None:
    row, secret = _create(counter)
    rolled = counter.send(f"webhooks/{row.id}/secret", f"webhooks/{row.id}")
    (fresh,) = SECRET.findall(rolled.text)
    assert fresh != secret
    assert "The secret of before counts until" in text(rolled.text)
    assert SECRET.search(counter.get(f"webhooks/{row.id}").text) is None


def test_switching_changing_and_deleting(counter: Counter) -> None:
    row, _secret = _create(counter)
    counter.send(f"webhooks/{row.id}/activity", f"webhooks/{row.id}", enabled="no")
    assert counter.rows(WebhookEndpoint)[0].status == "disabled"
    refused = counter.send(f"webhooks/{row.id}/deliveries/evt_x", f"webhooks/{row.id}")
    assert (refused.status_code, "is disabled" in text(refused.text)) == (422, True)
    counter.send(f"webhooks/{row.id}/activity", f"webhooks/{row.id}", enabled="yes")
    saved = counter.send(f"webhooks/{row.id}", f"webhooks/{row.id}", url="https://shop.example/other", events="*")
    assert saved.status_code == 303
    stored = counter.rows(WebhookEndpoint)[0]
    assert (stored.url, stored.enabled_events, stored.status) == ("https://shop.example/other", ["*"], "enabled")
    assert "not even what waits" in text(counter.get(f"webhooks/{row.id}/end").text)
    assert counter.send(f"webhooks/{row.id}/end").status_code == 303
    assert counter.get(f"webhooks/{row.id}").status_code == 404
    with counter.app.app_context():
        clean_up.remove_old_rows(clock.now())
    assert counter.rows(WebhookEndpoint) == []


def test_one_that_was_given_up_says_so(counter: Counter) -> None:
    row, _secret = _create(counter)
    _try(counter, row.id, Outcome(None, "nobody answers at its address"))
    with counter.app.app_context():
        later = clock.now() + queue.PATIENCE
        claimed = queue.claim(row.id, later)
        assert claimed is not None
        job = queue.next_batch(claimed, later).jobs[0]
        queue.record(claimed, job, Outcome(None, "nobody answers at its address"), later, lambda *_: None)
    page = text(counter.get(f"webhooks/{row.id}").text)
    assert "Nothing had reached it for three days" in page
    assert "Given up" in page


def test_the_other_mode_has_others(counter: Counter) -> None:
    row, _secret = _create(counter)
    counter.mode = "live"
    assert "There is no endpoint in live mode." in text(counter.get("webhooks").text)
    assert counter.get(f"webhooks/{row.id}").status_code == 404
    refused = counter.send("webhooks", **{**NEW, "url": "http://shop.example/"})
    assert "must use HTTPS" in text(refused.text)
    assert endpoints.MOST == 16

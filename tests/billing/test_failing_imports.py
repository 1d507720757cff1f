"""Small exports of each kind that was once refused or read wrongly, and what their customer's pages show."""

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.billing_run import runner
from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import plan_changes
from portal_site.billing.changes.plan_changes import PlanChangeRequest
from portal_site.billing.customers import payment_methods
from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import importer
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Customer,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    PortalConfiguration,
    Subscription,
)
from portal_site.billing.rules.portal import portal_features
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from portal_site.billing.subscriptions import trials
from portal_site.db.transactions import transaction
from tests.client import text
from tests.conftest import SHARED, enter
from tests.world import reading

FOLDER = SHARED / "failing-imports"
MARCH_1, MARCH_16_NOON, APRIL_1 = 1_709_251_200, 1_710_590_400, 1_711_929_600
HOUR = 3600
CUSTOMER = "cus_Mara"
ONE, OF_IT, METHODS = "/subscriptions/sub_a", "/invoices/in_a", "/payment-methods"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the exports are not here")


@pytest.fixture(autouse=True)
def an_hour_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: MARCH_1 + HOUR)


def _path(name: str) -> Path:
    return next(FOLDER.glob(f"{name}*.json"))


def _take(name: str, **options: bool) -> ImportReport:
    return importer.import_objects(_path(name), MARCH_1 + HOUR, options=importer.Options(**options))


def _causes(report: ImportReport, result: str) -> list[str]:
    return [finding.id for finding in report.findings() if finding.result == result]


@pytest.mark.parametrize(
    ("name", "page", "shown", "hidden"),
    [
        ("01-", ONE, ("Studio", "€30.00 per month"), ()),
        ("02-invoice-of-a-canceled", "/invoices", ("LIND-0001", "LIND-0000"), ()),
        ("02-latest-invoice", ONE, ("Next payment €30.00",), ()),
        ("02-invoice-of-a-deleted", "/invoices", ("LIND-0001",), ("GONE",)),
        ("02-payment-methods", METHODS, ("No payment method yet",), ()),
        ("03-", ONE, ("Next payment €24.00", "Spring: 20% off"), ()),
        ("05-", OF_IT, ("Subtotal €30.00", "Tax €5.70", "Total €35.70"), ()),
        ("06-", ONE, ("Next payment €24.00", "Spring: 20% off"), ()),
        ("07-", ONE, ("Next payment €24.00",), ()),
        ("08-", ONE, ("Next payment €24.00",), ()),
        ("09-tax", ONE, ("Next payment €37.50",), ()),
        ("09-automatic", ONE, ("Next payment €30.00", "Tax will be added to this amount."), ()),
        ("10-", ONE, ("€30.00 per month",), ()),
        ("11-", ONE, ("Studio", "€30.00 per month"), ()),
        ("12-list", ONE, ("€30.00 per month",), ()),
        ("13-", ONE, ("€30.00 per month",), ()),
        ("14-", "/invoices/in2_a", ("Studio", "Total €30.00"), ()),
        ("15-", OF_IT, ("Date March 1, 2024",), ("1970",)),
        ("16-", OF_IT, ("Paid", "Amount paid €30.00"), ()),
        ("17-", ONE, ("€30.00 per month",), ()),
        ("19-card", METHODS, ("Visa •••• ending in 1881", "Default"), ()),
        ("19-default", ONE, ("Visa •••• ending in 4242",), ("American",)),
        ("20-", ONE, ("SEK 339.00 per month", "Next payment SEK 339.00"), ("€",)),
        ("21-", ONE, ("Next payment €42.50",), ()),
        ("22-phases", ONE, ("From April 1, 2024: Studio × 2, €60.00",), ()),
        ("22-discount", ONE, ("Next payment €48.00",), ("Spring: 20% off",)),
        ("25-", OF_IT, ("Subtotal €80.00", "Discount −€16.00", "Total €64.00"), ()),
        ("26-credit-note-before", OF_IT, ("Credit note −€6.00", "Amount remaining €24.00"), ("balance", "Credit used")),
        ("26-credit-note-after", OF_IT, ("Credited or refunded €5.00",), ()),
        ("27-", OF_IT, ("Studio",), ("Item",)),
        ("28-", OF_IT, ("Seats", "123", "€984.00"), ()),
        ("29-", METHODS, ("Pre-authorized debit •••• ending in 6789", "Link mara@lindqvist.example"), ("Acss", "Link ••••")),
        ("30-", ONE, ("Next payment €20.00",), ()),
        ("30-", "/subscriptions/sub2_a", ("Next payment €30.00",), ("Next payment €20.00",)),
        ("30-", "/subscriptions", ("€20.00", "€30.00"), ()),
        ("31-", ONE, ("€30.00 per month",), ()),
        ("34-", ONE, ("Next payment €20.00",), ()),
        ("35-", ONE, ("You receive an invoice and pay it by its due date.",), ()),
        ("36-", ONE, ("Next payment €24.00",), ()),
        ("37-", OF_IT, ("Discount −€6.00", "Total €24.00"), ()),
    ],
)  # fmt: skip
def test_the_customers_page_shows_what_is_right(
    lite_app: Flask, name: str, page: str, shown: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    report = _take(name)
    assert "sub_a" not in _causes(report, "left out")
    found = text(enter(lite_app, CUSTOMER).get(page).text)
    assert [words for words in shown if words not in found] == []
    assert [words for words in hidden if words in found] == []


@pytest.mark.parametrize("name", ["04-", "05-"])
def test_lines_of_older_versions_are_credited(lite_app: Flask, name: str) -> None:
    _take(name)
    with reading() as connection:
        columns = ("subscription_id", "subscription_item_id", "price_id", "amount")
        lines = connection.execute(select(*(getattr(InvoiceLineItem, name) for name in columns))).all()
    assert [tuple(line) for line in lines] == [("sub_a", "si_a", "price_a", 3000)]


def test_a_dearer_plan_costs_the_difference(lite_app: Flask) -> None:
    _take("04-")
    with reading() as connection:
        features = portal_features.read(
            connection.scalar(select(PortalConfiguration.features)) or {}
        ).subscription_update
    at = MARCH_16_NOON
    options = plan_changes.options(CUSTOMER, "sub_a", features, at)
    request = PlanChangeRequest({"si_a": ("price_big_a", 1)})
    quote = plan_changes.preview(options, CUSTOMER, request, at)
    assert [line.amount for line in quote.invoice.lines] == [-1500, 2500]
    assert quote.invoice.amount_due == 1000


@pytest.mark.parametrize(
    ("name", "credit", "reduced"), [("26-credit-note-after", 1250, []), ("26-credit-note-before", 0, [1200])]
)
def test_what_a_credit_note_gave_back_is_not_credited_again(
    lite_app: Flask, name: str, credit: int, reduced: list[int]
) -> None:
    _take(name)
    features = SubscriptionCancel(mode="immediately", proration_behavior="always_invoice")
    ending = cancellations.preview(CUSTOMER, "sub_a", features, MARCH_16_NOON).ending
    assert ending is not None
    assert (-ending.invoice.total, [reduction.owed_less for reduction in ending.reductions]) == (credit, reduced)


def test_a_period_without_its_invoice_is_named(lite_app: Flask) -> None:
    assert [finding.id for finding in _take("32-").findings() if "no credit" in finding.sentence] == ["sub_a"]
    assert list(_take("04-").findings()) == []


@pytest.mark.parametrize(("name", "due", "is_said"), [("32-", "€25.00", True), ("04-", "€10.00", False)])
def test_the_quote_says_where_the_period_is_not_credited(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch, name: str, due: str, is_said: bool
) -> None:
    _take(name)
    monkeypatch.setattr(clock, "now", lambda: MARCH_16_NOON)
    found = text(enter(lite_app, CUSTOMER).get(f"{ONE}/plan-change?price-si_a=price_big_a&quantity-si_a=1").text)
    assert due in found
    sentence = "Nothing is credited for the current period, because its invoice is not stored here."
    assert (sentence in found) == is_said


def test_what_cannot_be_taken_is_named(lite_app: Flask) -> None:
    report = _take("38-")
    named = {
        finding.sentence.split("refers to ")[1].split(",")[0]
        for finding in report.findings()
        if "refers" in finding.sentence
    }
    assert {"product prod_a", "payment method pm_a", "invoice in_a"} <= named
    with pytest.raises(ImportRefused, match="product prod_a.*invoice in_a.*payment method pm_a"):
        _take("38-", strict=True)


def test_cut_short_lists_are_refused_by_name_with_the_way_to_the_rest(lite_app: Flask) -> None:
    sentences = [finding.sentence for finding in _take("12-lines").findings() if finding.result == "cut short"]
    assert len(sentences) == 1
    assert "in_a" in sentences[0]
    assert "stripe get /v1/invoices/in_a/lines" in sentences[0]
    with reading() as connection:
        assert connection.scalar(select(Invoice.id)) is None


def test_stubs_of_deleted_objects_are_no_customers(lite_app: Flask) -> None:
    report = _take("13-")
    assert sorted(_causes(report, "note")) == ["cus_gone_a", "prod_gone_a"]
    with reading() as connection:
        assert set(connection.scalars(select(Customer.id))) == {CUSTOMER}


def test_a_customer_may_have_any_id(lite_app: Flask) -> None:
    _take("33-")
    assert enter(lite_app, "mara@lindqvist.example").get(ONE).status_code == 200


@pytest.mark.parametrize(
    ("name", "billed"),
    [("18-", ("LIND-0002", 3000)), ("22-discount", ("LIND-0002", 4800)), ("22-phases", ("LIND-0002", 6000)),
     ("23-", None), ("24-", None), ("09-automatic", None), ("02-latest-invoice", None), ("12-lines", None),
     ("21-", ("LIND-0002", 4250))],
)  # fmt: skip
def test_only_what_is_billed_right_is_taken_over(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch, name: str, billed: tuple[str, int] | None
) -> None:
    report = _take(name, renew=True)
    monkeypatch.setattr(clock, "now", lambda: APRIL_1 + 60)
    runner.run(lite_app.extensions["gateways"], APRIL_1 + 60, lambda _id: "http://127.0.0.1/back")
    with reading() as connection:
        new = connection.execute(select(Invoice.number, Invoice.total).where(Invoice.created >= APRIL_1)).all()
        error = connection.scalar(select(Subscription.billing_error))
    assert [tuple(invoice) for invoice in new] == ([billed] if billed else [])
    assert error is None
    assert _causes(report, "not renewed") == ([] if billed else ["sub_a"])


def _after_the_trial(app: Flask, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[int]]:
    monkeypatch.setattr(clock, "now", lambda: APRIL_1 + 60)
    runner.run(app.extensions["gateways"], APRIL_1 + 60, lambda _id: "http://127.0.0.1/back")
    with reading() as connection:
        status = connection.scalar(select(Subscription.status))
        totals = list(connection.scalars(select(Invoice.total).where(Invoice.created >= APRIL_1)))
    return str(status), totals


def test_a_trial_without_a_card_ends_and_nothing_is_billed(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    report = _take("39-", renew=True)
    assert (report.renewed, list(report.findings())) == (1, [])
    page = text(enter(lite_app, CUSTOMER).get(ONE).text)
    assert "Free until April 1, 2024 It ends then unless you add a payment method." in page
    assert "€30.00." not in page
    assert _after_the_trial(lite_app, monkeypatch) == ("canceled", [])


def test_a_card_that_comes_in_time_keeps_the_subscription(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    _take("39-", renew=True)
    method = PaymentMethod(
        id="pm_new", account_id="", customer_id=CUSTOMER, livemode=False, created=MARCH_1, type="card", last4="4242"
    )
    with transaction() as session:
        method.account_id = session.scalars(select(Customer.account_id).where(Customer.id == CUSTOMER)).one()
        session.add(method)
    payment_methods.make_default(CUSTOMER, "pm_new", MARCH_1 + HOUR)
    page = text(enter(lite_app, CUSTOMER).get(ONE).text)
    assert "Free until April 1, 2024 (in 31 days), then €30.00" in page
    assert _after_the_trial(lite_app, monkeypatch)[1] == [3000]


def test_a_trial_of_the_other_system_is_not_billed_here_because_of_a_card(lite_app: Flask) -> None:
    _take("39-")
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == CUSTOMER)).one()
        trials.follow_payment_method(session, customer, MARCH_1 + HOUR)
    with reading() as connection:
        columns = Subscription.cancel_at, Subscription.due_at
        assert tuple(connection.execute(select(*columns)).one()) == (APRIL_1, None)

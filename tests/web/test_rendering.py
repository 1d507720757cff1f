"""What filters and unit labels write: quantities in each language, and how far away a date is."""

from types import SimpleNamespace

import pytest
from flask import Flask, g
from flask_babel import force_locale

from portal_site.web.rendering import filters, units
from tests.billing.terms import at


@pytest.mark.parametrize(
    ("label", "singular", "plural"),
    [
        ("seat", "seat", "seats"),
        ("seats", "seat", "seats"),
        ("box", "box", "boxes"),
        ("boxes", "box", "boxes"),
        ("class", "class", "class"),
        ("company", "company", "companies"),
        ("companies", "company", "companies"),
        ("key", "key", "keys"),
        ("GB", "GB", "GB"),
        ("席", "席", "席"),
        ("API call", "API call", "API call"),
        ("kg", "kg", "kg"),
    ],
)
def test_a_unit_label_has_a_singular_and_a_plural_in_english(
    lite_app: Flask, label: str, singular: str, plural: str
) -> None:
    with lite_app.test_request_context(), force_locale("en"):
        assert (units.named("1", 1, label), units.named("0", 0, label)) == (f"1 {singular}", f"0 {plural}")
        assert units.named("25", 25, label) == f"25 {plural}"


@pytest.mark.parametrize(
    ("label", "singular", "plural"),
    [("poste", "poste", "postes"), ("postes", "poste", "postes"), ("choix", "choix", "choix"), ("Go", "Go", "Go")],
)
def test_a_unit_label_has_a_singular_and_a_plural_in_french(
    lite_app: Flask, label: str, singular: str, plural: str
) -> None:
    with lite_app.test_request_context(), force_locale("fr"):
        assert (units.named("1", 1, label), units.named("25", 25, label)) == (f"1 {singular}", f"25 {plural}")


@pytest.mark.parametrize(
    ("zone_of_customer", "language", "words"),
    [
        (None, "en-GB", "26 November 2026 at 22:05 (GMT+00:00)"),
        (None, "fr", "26 novembre 2026 à 22:05 (UTC+00:00)"),
        ("Europe/Paris", "fr", "26 novembre 2026 à 23:05"),
        ("Asia/Tokyo", "en", "November 27, 2026 at 7:05 AM"),
    ],
)
def test_a_deadline_is_in_the_customers_time_or_says_in_which(
    lite_app: Flask, zone_of_customer: str | None, language: str, words: str
) -> None:
    with lite_app.app_context(), lite_app.test_request_context(headers={"Accept-Language": language}):
        g.visitor = SimpleNamespace(
            customer_timezone=zone_of_customer, timezone=zone_of_customer or "UTC", locale=None, preferred_locales=()
        )
        assert filters.minute(at("2026-11-26 22:05:00")).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("then", "english", "french"),
    [
        ("2026-11-26 23:00:00", "November 26, 2026", "26 novembre 2026"),
        ("2026-11-27 00:30:00", "November 27, 2026 (in 1 day)", "27 novembre 2026 (dans 1 jour)"),
        ("2026-12-01", "December 1, 2026 (in 5 days)", "1er décembre 2026 (dans 5 jours)"),
        ("2026-12-27", "December 27, 2026 (in 31 days)", "27 décembre 2026 (dans 31 jours)"),
        ("2026-12-28", "December 28, 2026", "28 décembre 2026"),
        ("2026-11-25", "November 25, 2026", "25 novembre 2026"),
    ],
)
def test_a_date_that_is_near_says_how_near(lite_app: Flask, then: str, english: str, french: str) -> None:
    now = at("2026-11-26 22:00:00")
    for language, words in (("en", english), ("fr", french)):
        with lite_app.app_context(), lite_app.test_request_context(headers={"Accept-Language": language}):
            assert filters.relative_date(at(then), now) == words

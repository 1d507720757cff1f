"""A merchant's own words: what they may be, and that nothing in them, nor in what is filled in, means anything."""

import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from portal_site.mail import own_words
from portal_site.mail.messages import Button, Message
from portal_site.mail.own_words import filled, put_in, refusal, tidy
from portal_site.notices import previews
from portal_site.notices.kinds import NAMES, Kind
from tests import world

NAMED = ("customer_name", "amount")
BUSINESS = "Acme"
MESSAGE = Message("Subject", "Heading", ("Opening",), ("Facts",), button=Button("Pay", "https://x.example/"))


@given(st.text(max_size=200), st.text(max_size=200))
def test_what_is_accepted_can_be_filled_in_and_values_mean_nothing(text: str, value: str) -> None:
    typed = tidy(text)
    assert tidy(typed) == typed
    if refusal("introduction", typed, NAMED) == "":
        with_values = filled(typed, {"customer_name": value, "amount": "{customer_name}"})
        assert with_values is not None
        if "{" not in typed:
            assert with_values == typed


@given(st.text(alphabet="{}a_b.![] \n", max_size=30))
def test_braces_are_names_or_refused(text: str) -> None:
    typed = tidy(text)
    without_names = re.sub(r"\{(a|b|a_b)\}", "", typed)
    is_fit = not set(without_names) & set("{}")
    assert (refusal("introduction", typed, ("a", "b", "a_b")) == "") == is_fit


@pytest.mark.case("C14")
@pytest.mark.parametrize("text", ["{0}", "{}", "{amount.__class__}", "{amount[0]}", "{amount!r}", "{amount:>9}", "{ amount }",
                                  "{Amount}", "{{amount}}", "{amount", "amount}", "{amo{amount}unt}"])  # fmt: skip
def test_nothing_but_names_is_taken(text: str) -> None:
    assert refusal("introduction", text, NAMED) == "A brace must belong to a name, such as {business_name}."
    assert filled(text, {"amount": "€5"}) is None


@pytest.mark.parametrize("text", ["$amount", "%(amount)s %s", "% if x %", "<b>&amp;</b>", "100 %"])
def test_other_languages_are_plain_text(text: str) -> None:
    assert refusal("subject", text, NAMED) == ""
    assert filled(text, {"amount": "€5"}) == text


def test_a_value_stays_on_its_line_and_is_not_looked_at_again() -> None:
    assert filled("A {customer_name} b", {"customer_name": "{amount}\r\nBcc:\u2028x\u202e", "amount": "5"}) == (
        "A {amount}  Bcc: x b"
    )
    assert filled("{customer_name}", {"customer_name": "x" * 500}) == "x" * 100
    assert filled("{amount}", {"amount": "10,00\u00a0€"}) == "10,00\u00a0€"


def test_what_cannot_be_filled_in_leaves_the_programs_words() -> None:
    words = {"subject": "{gone}", "introduction": "{", "button": "Pay {amount}", "heading": "Not a field"}
    changed = put_in(MESSAGE, words, {"amount": "€5"})
    assert (changed.subject, changed.opening, changed.heading) == ("Subject", ("Opening",), "Heading")
    assert changed.button == Button("Pay €5", "https://x.example/")
    assert changed.paragraphs == ("Facts",)


def test_blank_lines_make_paragraphs() -> None:
    changed = put_in(MESSAGE, {"introduction": "One\nline.\n \n\n\nTwo  blanks."}, {})
    assert changed.opening == ("One line.", "Two blanks.")


@pytest.mark.parametrize("locale", ["en", "fr"])
@pytest.mark.parametrize("kind", previews.KINDS)
def test_each_email_fills_in_each_of_its_names_and_keeps_its_facts(lite_app: Flask, kind: str, locale: str) -> None:
    account_id = world.shop().customer.account_id
    names = previews.names(kind)
    every = " ".join(f"[{name}={{{name}}}]" for name in names)
    typed: dict[str, Any] = {kind: {locale: {"subject": f"S {{{names[0]}}}", "introduction": every}}}
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
        standard = previews.standard_messages(account_id, locale)[kind]
        content = previews.preview(kind, locale, account_id, typed)
    assert content.subject in ("S Hedda Berg", f"S {BUSINESS}")
    for name in names:
        assert f"[{name}=" in content.text
        assert f"[{name}=]" not in content.text
        assert f"{{{name}}}" not in content.text
    rows = [value for _label, value in standard.rows]
    kept = [standard.heading, *standard.paragraphs, *rows, *standard.notes, standard.code]
    kept += [link.address.partition("/m/")[0] for link in standard.links]
    assert [words for words in kept if words not in content.text] == []
    assert standard.button is None or standard.button.words in content.text


def test_every_kind_has_its_names() -> None:
    assert set(NAMES) == set(Kind)


@pytest.mark.parametrize(
    "document", [None, {}, {"receipt": None}, {"receipt": {"fr": {"subject": "x"}}}, {"other": {}}]
)
def test_without_own_words_there_are_none(document: Any) -> None:
    assert own_words.of(document, "receipt", "en") == {}

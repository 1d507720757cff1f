"""How each kind looks: complete in both parts and both languages, and nothing in it has to be fetched."""

import re
from html.parser import HTMLParser

import pytest
from flask import Flask

from portal_site.billing.errors import BillingError
from portal_site.mail.rendering import Content
from portal_site.notices import previews
from portal_site.notices.kinds import REMINDERS, Kind
from tests import world


class _Words(HTMLParser):
    """The words of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._hidden += tag in ("style", "title")
        if tag in ("img", "script", "link", "iframe", "video") or "background" in given:
            self.fetched.append(tag)
        if tag == "a":
            self.links.append(given["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden:
            self.words.append(" ".join(data.split()))


def _preview(app: Flask, kind: str, locale: str) -> Content:
    shop = world.shop()
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        return previews.preview(kind, locale, shop.customer.account_id)


@pytest.mark.parametrize("locale", ["en", "fr"])
@pytest.mark.parametrize("kind", previews.KINDS)
def test_each_kind_is_complete_as_text_and_needs_no_image(lite_app: Flask, kind: str, locale: str) -> None:
    content = _preview(lite_app, kind, locale)
    page = _Words()
    page.feed(content.html)
    assert page.fetched == []
    assert "url(" not in content.html
    assert f'<html lang="{locale}"' in content.html
    plain = " ".join(content.text.split())
    preview = page.words[0]
    missing = [words for words in page.words if words.rstrip(":") not in plain and words != preview]
    assert missing == []
    assert [link for link in page.links if link not in content.text] == []
    assert len(content.subject) < 80
    assert "None" not in plain
    assert "%(" not in plain


@pytest.mark.parametrize("kind", Kind)
def test_only_reminders_can_be_stopped(lite_app: Flask, kind: Kind) -> None:
    content = _preview(lite_app, kind, "en")
    assert bool(content.unsubscribe) == (kind in REMINDERS)
    assert ("Stop these reminders" in content.text) == (kind in REMINDERS)


def test_a_receipt_adds_up(lite_app: Flask) -> None:
    rows = dict(re.findall(r"^(.+): (€.+)$", _preview(lite_app, "receipt", "en").text, re.MULTILINE))
    assert rows == {
        "3 seats × Team": "€36.00", "Subtotal": "€36.00", "Tax VAT 20%": "€7.20", "Total": "€43.20",
        "Amount paid": "€43.20",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "locale", "words"), [("spam", "en", "No such kind"), ("receipt", "xx", "no e-mails in xx")]
)
def test_what_there_is_not_is_named(lite_app: Flask, kind: str, locale: str, words: str) -> None:
    with pytest.raises(BillingError, match=words):
        _preview(lite_app, kind, locale)

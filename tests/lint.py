"""Rules for the HTML of every response that a test fetches. A violation fails the test that fetched the page."""

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import html5lib

POLICY = re.compile(
    r"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    # Only a page that can do nothing may be framed, and only by ourselves.
    r".*frame-ancestors ('none'|'self'; .*; sandbox allow-same-origin$)"
)
ACTIVE = re.compile(r"^(on|hx-on|hx-vals|hx-vars|hx-headers)")
LABELLED_BY_WORDS = {"submit", "hidden", "button"}
ROWS = re.compile(r"\s*<tr\b")
FIELDS = ("input", "select", "textarea")


class Fault(AssertionError):
    """A page violates one or more rules."""


# What differs from one test to the next and decides nothing: the random part of an identifier, and a signed value.
RANDOM = re.compile(r'(?<=_)[0-9A-Za-z]{24}(?![0-9A-Za-z])|(?<=value=")[\w.-]{40,}(?=")')
_passed: set[bytes] = set()


def check(html: str, policy: str, *, whole: bool) -> None:
    """Raises Fault, listing all violations of a page (`whole`) or a fragment.

    Parsing takes longer than the request. A page that differs only in what is random from one that has passed is not parsed.
    """
    key = _key(html, policy, whole=whole)
    if key in _passed:
        return
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    try:
        # A fragment is parsed as the content of a div, rows as those of a table.
        root: Element = (
            parser.parse(html)
            if whole
            else parser.parseFragment(html, container="tbody" if ROWS.match(html) else "div")
        )
    except html5lib.html5parser.ParseError as error:
        raise Fault(f"does not parse: {error}") from None
    faults = [*_faults(root), *(_page_faults(root) if whole else [])]
    if not POLICY.match(policy or ""):
        faults.append(f"policy is {policy!r}")
    if faults:
        raise Fault("\n".join(faults))
    _passed.add(key)


def _key(html: str, policy: str, *, whole: bool) -> bytes:
    numbers: dict[str, int] = {}  # the same value has the same number, so that what refers to what is part of the key
    alike = RANDOM.sub(lambda found: f"\0{numbers.setdefault(found[0], len(numbers))}", html)
    return sha256(f"{whole}\0{policy}\0{alike}".encode()).digest()


def _faults(root: Element) -> Iterator[str]:
    ids = Counter(element.get("id") for element in root.iter() if element.get("id"))
    yield from (f"id {name} stands {count} times" for name, count in ids.items() if count > 1)
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        yield from _attribute_faults(element, set(ids))
        if element.tag == "form":
            yield from _form_faults(element)
        if element.tag in FIELDS and element.get("type", "text") not in LABELLED_BY_WORDS:
            yield from _label_faults(element, root)
        if element.tag == "img" and element.get("alt") is None:
            yield "an image without alt"
        if element.tag == "button" and not "".join(element.itertext()).strip():
            yield "a button without text"
        if element.tag in ("script", "style") and (element.text or "").strip():
            yield f"an inline {element.tag}"


def _attribute_faults(element: Element, ids: set[str]) -> Iterator[str]:
    for name, value in element.attrib.items():
        if ACTIVE.match(name) or name == "style":
            yield f"{element.tag} has {name}"
        if name in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
            parts = urlsplit(value)
            if parts.scheme not in ("", "http", "https", "mailto", "data"):
                yield f"{name} is the unsafe URL {value}"
        if name in ("aria-labelledby", "aria-describedby", "for", "aria-controls"):
            yield from (f"{name} refers to the missing id {target}" for target in value.split() if target not in ids)


def _form_faults(form: Element) -> Iterator[str]:
    action, method = form.get("action", ""), form.get("method", "get").lower()
    if not action.startswith("/"):
        yield f"a form has the external action {action!r}"
    names = {field.get("name") for field in form.iter("input")}
    if method == "post" and "csrf_token" not in names:
        yield f"the form to {action} has no CSRF token"
    if method == "get" and "csrf_token" in names:
        yield f"the form to {action} would put its CSRF token into the URL"


def _label_faults(field: Element, root: Element) -> Iterator[str]:
    labelled = any(label.get("for") == field.get("id") or field in label.iter() for label in root.iter("label"))
    if not labelled and not field.get("aria-label"):
        yield f"field {field.get('name')} has no label"


def _page_faults(root: Element) -> Iterator[str]:
    html = root if root.tag == "html" else next(root.iter("html"))
    if not html.get("lang"):
        yield "no lang"
    title = "".join(next(iter(root.iter("title")), Element("title")).itertext()).strip()
    if not title:
        yield "no title"
    headings = [int(e.tag[1]) for e in root.iter() if isinstance(e.tag, str) and re.fullmatch("h[1-6]", e.tag)]
    if headings.count(1) != 1:
        yield f"{headings.count(1)} h1"
    # Headings may precede the h1 (an attention section does), but no level may be skipped.
    yield from (f"h{b} follows h{a}" for a, b in pairwise(headings) if b > a + 1)
    if not any(element.tag == "main" for element in root.iter()):
        yield "no main"

"""Test mode and live mode: which one a page shows, and the way to the same page of the other one."""

from typing import Any

from flask import current_app, g, has_request_context, request, session, url_for

TEST, LIVE = "test", "live"
NAMES = {TEST: "Test mode", LIVE: "Live mode"}
MEMBER = "dashboard_mode"  # of the browser's session: the mode of the last page that had one
PLACE = {"account_id", "mode"}  # the parts of an address that both modes have
IN_MODE = f"/<account_id>/<any({TEST}, {LIVE}):mode>"  # what the addresses of pages with a mode begin with


def current() -> str:
    """The mode of this page or, of a page without one, of the last page that had one."""
    if not has_request_context():
        return TEST
    own = (request.view_args or {}).get("mode") or session.get(MEMBER)
    return own if own in NAMES else TEST


def is_live() -> bool:
    """Whether this page shows what is in live mode."""
    return current() == LIVE


def remember() -> None:
    """Let pages without a mode lead to pages of the mode that is looked at."""
    shown = (request.view_args or {}).get("mode")
    if shown is not None and shown != session.get(MEMBER, TEST):
        session[MEMBER] = shown


def keep_mode(endpoint: str, values: dict[str, Any]) -> None:
    """Links to pages with a mode lead to those of the current one unless they name another."""
    if "mode" not in values and current_app.url_map.is_endpoint_expecting(endpoint, "mode"):
        values["mode"] = current()


def switch(list_view: str) -> list[tuple[str, str, str | None]]:
    """The modes as (name, URL, aria-current). A page of a single thing leads to its list: the other mode has other things."""
    same = request.method == "GET" and set(request.view_args or {}) <= PLACE
    endpoint = (request.endpoint or "") if same else f"dashboard.{list_view}"
    return [
        (
            name,
            url_for(endpoint, account_id=g.place.account_id, mode=mode),
            "true" if mode == current() else None,
        )
        for mode, name in NAMES.items()
    ]

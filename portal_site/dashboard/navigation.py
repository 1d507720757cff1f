"""The dashboard's frame: its name, the links to the pages that the user may see, and how browsers are called."""

from typing import Any

from flask import Flask, current_app, g, request, url_for

from portal_site.billing.models import PortalConfiguration
from portal_site.dashboard import blueprint
from portal_site.staff.roles import Right
from portal_site.staff.sessions import Place

# The pages in the frame: what they are called, which right they need, and what the names of their routes begin with.
PAGES = (
    ("Home", Right.VIEW_SETTINGS, "show_home", ()),
    (
        "Customers",
        Right.VIEW_CUSTOMERS,
        "show_customers",
        ("show_customer", "new_customer", "create_customer", "make_link", "email_link", "view_as_customer"),
    ),
    (
        "Settings",
        Right.VIEW_SETTINGS,
        "show_configurations",
        ("show_settings", "save_settings", "show_history", "compare", "copy"),
    ),
    ("Log", Right.VIEW_LOG, "show_log", ()),
    ("Team", Right.MANAGE_TEAM, "show_team", ("invite", "withdraw_invitation", "change_role", "remove_member")),
)  # fmt: skip
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def init(app: Flask) -> None:
    """Make these functions available to templates."""
    functions = (navigation, frame_name, account_url, browser_name, configuration_name, configuration_marks)
    app.jinja_env.globals.update({function.__name__: function for function in functions})


@blueprint.url_defaults
def stay_in_mode(endpoint: str, values: dict[str, Any]) -> None:
    """Links from a page of one mode lead to pages of the same mode."""
    mode = (request.view_args or {}).get("mode") if request else None
    if mode and "mode" not in values and current_app.url_map.is_endpoint_expecting(endpoint, "mode"):
        values["mode"] = mode


def frame_name(place: Place | None) -> str:
    """Whose dashboard this is."""
    return place.business_name if place is not None else "Portal Site"


def account_url(view: str, **values: str) -> str:
    """The URL of a page of the account that this page is of."""
    return url_for(f"dashboard.{view}", account_id=g.place.account_id, **values)  # type: ignore[arg-type]


def navigation(place: Place | None) -> list[list[tuple[str, str, str | None]]]:
    """The list of links as (name, URL, aria-current); no list on pages of no account."""
    if place is None:
        return []
    here = (request.endpoint or "").removeprefix("dashboard.")
    return [
        [
            (name, url_for(f"dashboard.{view}", account_id=place.account_id), _state(here, view, others))
            for name, right, view, others in PAGES
            if place.may(right)
        ]
    ]


def _state(here: str, view: str, others: tuple[str, ...]) -> str | None:
    return "page" if here == view else "true" if here.startswith(others or ("\0",)) else None


def browser_name(agent: str) -> str:
    """A browser by what it says of itself, such as Firefox on Windows."""
    browser = next((name for token, name in BROWSERS if token in agent), "A browser")
    system = next((name for token, name in SYSTEMS if token in agent), "")
    return f"{browser} on {system}" if system else browser


def configuration_name(row: PortalConfiguration) -> str:
    """A configuration by its name, with its mode."""
    name = row.name or ("Default" if row.is_default else row.id)
    return f"{name} ({'live' if row.livemode else 'test'} mode)"


def configuration_marks(row: PortalConfiguration) -> list[str]:
    """What is special about a configuration."""
    return [*(["Default"] if row.is_default else []), *([] if row.active else ["Inactive"])]

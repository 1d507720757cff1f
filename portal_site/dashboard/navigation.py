"""The dashboard's frame: its name, the links to the pages that the user may see, and how browsers are called."""

from flask import Flask, g, request, url_for

from portal_site.billing.models import PortalConfiguration
from portal_site.dashboard import modes
from portal_site.staff.roles import Right
from portal_site.staff.sessions import Place

# The pages in the frame: what they are called, which right they need, and what the names of their routes begin with.
PAGES = (
    ("Home", Right.VIEW_SETTINGS, "show_home", ()),
    (
        "Customers",
        Right.VIEW_CUSTOMERS,
        "show_customers",
        ("show_customer", "new_customer", "create_customer", "make_link", "email_link", "view_as_customer",
         "show_new_subscription", "quote_subscription", "start_subscription", "show_invoice", "refund_invoice"),
    ),
    (
        "Products",
        Right.VIEW_SETTINGS,
        "show_products",
        ("show_product", "show_new_product", "create_product", "save_product", "switch_product", "show_new_price",
         "create_price", "preview_price", "save_price", "switch_price"),
    ),
    (
        "Coupons",
        Right.VIEW_SETTINGS,
        "show_coupons",
        ("show_coupon", "show_new_coupon", "create_coupon", "save_coupon", "ask_to_delete_coupon", "delete_coupon",
         "create_promotion_code", "switch_promotion_code"),
    ),
    ("Tax rates", Right.VIEW_SETTINGS, "show_tax_rates", ("create_tax_rate", "switch_tax_rate")),
    (
        "Settings",
        Right.VIEW_SETTINGS,
        "show_configurations",
        ("show_settings", "save_settings", "show_history", "compare", "copy", "show_login_page",
         "save_login_page", "show_sender", "save_sender", "set_sender_key", "withdraw_sender", "check_sender"),
    ),
    ("Log", Right.VIEW_LOG, "show_log", ()),
    (
        "API keys",
        Right.MANAGE_KEYS,
        "show_api_keys",
        ("create_api_key", "roll_api_key", "ask_to_revoke_api_key", "revoke_api_key"),
    ),
    (
        "Webhooks",
        Right.MANAGE_KEYS,
        "show_webhook_endpoints",
        ("show_webhook_endpoint", "create_webhook_endpoint", "save_webhook_endpoint", "switch_webhook_endpoint",
         "roll_webhook_secret", "resend_event", "ask_to_delete_webhook_endpoint", "delete_webhook_endpoint"),
    ),
    (
        "Payments",
        Right.MANAGE_KEYS,
        "show_gateway",
        ("connect_gateway", "check_gateway", "receive_gateway_events", "ask_to_disconnect_gateway", "disconnect_gateway"),
    ),
    ("Domain", Right.MANAGE_DOMAIN, "show_domain", ("set_domain", "check_domain", "ask_to_remove_domain", "remove_domain")),
    (
        "Connected accounts",
        Right.MANAGE_CONNECTED,
        "show_connected_accounts",
        ("show_connected_account", "create_connected_account", "invite_owner", "set_provider_account"),
    ),
    ("Team", Right.MANAGE_TEAM, "show_team", ("invite_member", "withdraw_invitation", "change_role", "remove_member")),
)  # fmt: skip
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def init(app: Flask) -> None:
    """Make these functions available to templates."""
    functions = (
        navigation, mode_switch, frame_name, account_url, browser_name, configuration_name, configuration_marks,
    )  # fmt: skip
    app.jinja_env.globals.update({function.__name__: function for function in functions})


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
            if place.may(right) and not (place.platform_id and right is Right.MANAGE_CONNECTED)
        ]
    ]


def mode_switch(place: Place | None) -> list[list[tuple[str, str, str | None]]]:
    """The list of both modes as (name, URL, aria-current); no list on pages that are of no mode."""
    if place is None or "mode" not in (request.view_args or {}):
        return []
    here = (request.endpoint or "").removeprefix("dashboard.")
    return [modes.switch(next(view for _name, _right, view, others in PAGES if _state(here, view, others)))]


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

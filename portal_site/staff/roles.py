"""What the members of an account's team may do. Every page of the dashboard names the right that it needs."""

from enum import StrEnum


class Right(StrEnum):
    """What a page lets somebody do. Who may edit something may view it."""

    VIEW_SETTINGS = "view settings"
    EDIT_SETTINGS = "edit settings"
    VIEW_CUSTOMERS = "view customers"
    EDIT_CUSTOMERS = "edit customers"
    VIEW_REPORTS = "view reports"
    VIEW_LOG = "view the log"
    MANAGE_KEYS = "manage API keys"
    MANAGE_DOMAIN = "manage the domain"
    MANAGE_TEAM = "manage the team"
    MANAGE_CONNECTED = "manage connected accounts"


class Role(StrEnum):
    """The roles of an account's team. An account always has an owner."""

    OWNER = "owner"
    ADMIN = "admin"
    SUPPORT = "support"
    ANALYST = "analyst"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ADMIN: frozenset(Right) - {Right.MANAGE_TEAM, Right.MANAGE_DOMAIN, Right.MANAGE_CONNECTED},
    Role.SUPPORT: frozenset({Right.VIEW_SETTINGS, Right.VIEW_CUSTOMERS}),
    Role.ANALYST: frozenset({Right.VIEW_SETTINGS, Right.VIEW_REPORTS}),
}
DESCRIPTIONS: dict[Role, str] = {
    Role.OWNER: "Everything, including the team, the domain and connected accounts.",
    Role.ADMIN: "Everything but the team, the domain and connected accounts.",
    Role.SUPPORT: "Sees customers and settings, and changes nothing.",
    Role.ANALYST: "Sees reports and settings, and no customers.",
}

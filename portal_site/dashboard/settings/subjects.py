"""What settings are of: a portal configuration, or the account itself. Both have the same pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import abort

from portal_site.billing.accounts import account_settings, portal_configurations
from portal_site.billing.errors import NotFound
from portal_site.billing.models import PortalConfiguration
from portal_site.billing.rules.portal import portal_features
from portal_site.branding import theme
from portal_site.dashboard.navigation import configuration_name
from portal_site.dashboard.reads import customer_states
from portal_site.dashboard.settings.account_sections import BusinessSection, LinksSection, PaymentsSection
from portal_site.dashboard.settings.branding import Appearance, BrandingSection
from portal_site.dashboard.settings.email_texts import EmailTexts
from portal_site.dashboard.settings.emails import EmailsSection
from portal_site.dashboard.settings.offers import Offers
from portal_site.dashboard.settings.sections import Cancellation, Information, Section, Words
from portal_site.dashboard.settings.subscriptions import Subscriptions
from portal_site.db.json_columns import JsonObject

ACCOUNT = "account"  # in a URL, in the place of a configuration's id
Sections = Mapping[str, type[Section]]


def _by_name(*sections: type[Section]) -> Sections:
    return {section.NAME: section for section in sections}


OF_CONFIGURATIONS = _by_name(Subscriptions, Cancellation, Offers, Information, Words, Appearance)
OF_ACCOUNTS = _by_name(BrandingSection, BusinessSection, EmailsSection, EmailTexts, PaymentsSection, LinksSection)


@dataclass(frozen=True)
class Subject:
    """The settings of a configuration or, without its own id, of the account. `row` is the configuration that previews use."""

    account_id: str
    id: str  # in URLs
    name: str
    version: int
    settings: JsonObject
    sections: Sections
    row: PortalConfiguration

    @property
    def is_account(self) -> bool:
        """Whether these are the account's own settings."""
        return self.id == ACCOUNT

    @property
    def subject_id(self) -> str:
        """The id that versions are kept by."""
        return self.account_id if self.is_account else self.id

    @property
    def links(self) -> list[tuple[str, str]]:
        """The further pages, as (name, view)."""
        own = [] if self.is_account else [("Login page", "show_login_page"), ("Compare", "compare_settings")]
        return [("History", "show_history"), *own]

    def section(self, name: str) -> type[Section]:
        """The section with this name, or 404."""
        return self.sections.get(name) or abort(404)

    def change(self, version: int, changed: Mapping[str, Any], at: int) -> int:
        """Store changed settings; the version that is stored then. Raises as the operations do."""
        if self.is_account:
            return account_settings.change(self.account_id, version, changed, at).version
        return portal_configurations.change(self.account_id, self.id, version, changed, at).version

    def restore(self, version: int, former: int, at: int) -> None:
        """Go back to former settings from those of `version`. Raises as the operations do."""
        if self.is_account:
            account_settings.restore(self.account_id, version, former, at)
        else:
            portal_configurations.restore(self.account_id, self.id, version, former, at)

    def shown(self, settings: JsonObject) -> dict[str, Any]:
        """These settings as a visitor of the portal has them. Raises ValueError for what makes no sense."""
        links = {name: settings[name] for name in ("privacy_policy_url", "terms_of_service_url") if settings[name]}
        if self.is_account:
            theme.parse(**(settings["branding"] or {}))
            public = {
                name: settings[name] for name in ("business_name", "support_email", "support_phone", "support_url")
            }
            zone = settings["timezone"]
            return {**public, **links, "account_branding": settings["branding"] or {}, "account_timezone": zone}
        portal_features.read(settings["features"])
        theme.parse(**(settings["branding"] or {}))
        words = {name: settings[name] for name in ("headline", "default_return_url")}
        return {
            **words, **links, "feature_document": settings["features"], "configuration_branding": settings["branding"],
        }  # fmt: skip


def _previewed(account_id: str) -> PortalConfiguration:
    """The default configuration that previews of the account's settings use: of live mode, once that has customers."""
    defaults = [one for one in portal_configurations.of_account(account_id) if one.is_default]
    return next((one for one in defaults if customer_states.has_any(account_id, one.livemode)), defaults[-1])


def find(account_id: str, subject_id: str) -> Subject:
    """The account's own settings, or those of one of its configurations; 404 otherwise."""
    try:
        if subject_id == ACCOUNT:
            account = account_settings.get(account_id)
            row = _previewed(account_id)
            settings = account_settings.settings_of(account)
            return Subject(account_id, ACCOUNT, "Account", account.version, settings, OF_ACCOUNTS, row)
        row = portal_configurations.get(account_id, subject_id)
    except (NotFound, IndexError):
        abort(404)
    settings = portal_configurations.settings_of(row)
    return Subject(account_id, row.id, configuration_name(row), row.version, settings, OF_CONFIGURATIONS, row)

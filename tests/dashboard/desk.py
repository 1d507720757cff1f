"""Somebody at the dashboard's settings, for tests."""

from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from flask import Flask
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from portal_site.billing.accounts import portal_configurations
from portal_site.billing.models import PortalConfiguration
from portal_site.db.json_columns import JsonObject
from tests import world
from tests.client import PortalClient, parse
from tests.conftest import enter


def typed(page: str) -> MultiDict[str, str]:
    """The settings' form as a browser would send it, unchanged."""
    form = next(form for form in parse(page).iter("form") if form.get("id") == "settings")
    found: MultiDict[str, str] = MultiDict()
    for field in form.iter():
        name, kind = field.get("name"), field.get("type", "text")
        if field.tag == "input" and name and (kind not in ("checkbox", "radio") or field.get("checked") is not None):
            found.add(name, field.get("value", "on" if kind == "checkbox" else ""))
        elif field.tag == "textarea" and name:
            found.add(name, (field.text or "").removeprefix("\n"))
        elif field.tag == "select" and name:
            found.add(name, _chosen(field))
    return found


def _chosen(field: Element) -> str:
    options = list(field.iter("option"))
    chosen = next((option for option in options if option.get("selected") is not None), options[0])
    return chosen.get("value", "".join(chosen.itertext()))


@dataclass
class Desk:
    """A browser with somebody signed in, a merchant with a customer, and the configuration whose settings are open."""

    app: Flask
    client: PortalClient
    shop: world.Shop
    configuration_id: str

    @property
    def account_id(self) -> str:
        """The merchant's account."""
        return str(self.shop.customer.account_id)

    def address(self, rest: str = "") -> str:
        """The URL of a page of the settings."""
        return f"/dashboard/{self.account_id}/settings/{self.configuration_id}{rest and '/'}{rest}"

    def configuration(self) -> PortalConfiguration:
        """The configuration as it is stored."""
        with self.app.app_context():
            return portal_configurations.get(self.account_id, self.configuration_id)

    def settings(self) -> JsonObject:
        """Its settings."""
        return portal_configurations.settings_of(self.configuration())

    def form(self, section: str) -> MultiDict[str, str]:
        """What the form of a section would send."""
        return typed(self.client.get(self.address(section)).text)

    def save(self, section: str, **changed: Any) -> TestResponse:
        """Change some fields of a section and save it. A list is several values, None a box that is not ticked."""
        data = self.form(section)
        for name, value in changed.items():
            if value is None or isinstance(value, list):
                data.setlist(name, value or [])
            else:
                data[name] = str(value)
        return self.client.post(self.address(section), data=data)

    def portal(self) -> PortalClient:
        """The customer's portal, opened anew."""
        return enter(self.app, self.shop.customer)

"""The forms of an account's own settings, which all its configurations share."""

from collections.abc import Mapping
from typing import Any, ClassVar

from wtforms import IntegerField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, NumberRange

from portal_site.billing.accounts import accounts
from portal_site.billing.accounts.account_settings import LONGEST_LIFE
from portal_site.billing.rules.portal import safe_urls
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.sections import Section, one_of, switch
from portal_site.db.json_columns import JsonObject
from portal_site.web.input import postal_addresses
from portal_site.web.input.forms import checked_field, choices, clean, text_field


class BusinessSection(Section):
    """What customers see of the business."""

    NAME, TITLE = "business", "Business"
    GROUPS = (
        ("Your business", ("business_name", "timezone")),
        ("Where customers find help", ("support_email", "support_phone", "support_url")),
        ("Links", ("terms_of_service_url", "privacy_policy_url")),
        ("Address on invoices", ("line1", "line2", "postal_code", "city", "state", "country")),
    )
    ADDRESS = ("line1", "line2", "postal_code", "city", "state", "country")
    TEXTS = ("support_email", "support_phone", "support_url", "terms_of_service_url", "privacy_policy_url")
    business_name = text_field("Business name", accounts.LONGEST_NAME, True)
    timezone = SelectField("Time zone")
    support_email = text_field("Email", 254)
    support_phone = text_field("Phone", 40)
    support_url = checked_field("Help pages", safe_urls.LONGEST, False)
    terms_of_service_url = checked_field("Terms of service", safe_urls.LONGEST, False)
    privacy_policy_url = checked_field("Privacy policy", safe_urls.LONGEST, False)
    line1 = text_field("Street", 200)
    line2 = text_field("Street, second line", 200)
    postal_code = text_field("Postal code", 20)
    city = text_field("City", 100)
    state = text_field("State or region", 100)
    country = SelectField("Country", validate_choice=False)

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """The countries by name, and the stored time zone even if it has another name today."""
        zones = dict.fromkeys((settings["timezone"], *accounts.TIMEZONES))
        self.timezone.choices = choices([(zone, zone) for zone in zones], blank=False)
        self.country.choices = choices(postal_addresses.countries(), blank=True)

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        address = settings["address"] or {}
        return {
            "business_name": settings["business_name"],
            "timezone": settings["timezone"],
            **{name: settings[name] or "" for name in cls.TEXTS},
            **{name: address.get(name) or "" for name in cls.ADDRESS},
        }

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        settings.update(business_name=self.business_name.data, timezone=self.timezone.data)
        settings.update({name: self[name].data or None for name in self.TEXTS})
        typed = {name: self[name].data or None for name in self.ADDRESS}
        stored = settings["address"] or {}
        if typed != {name: stored.get(name) or None for name in self.ADDRESS}:
            settings["address"] = {**stored, **typed} if any(typed.values()) else None


class PaymentsSection(Section):
    """What happens when a payment fails, or is disputed."""

    NAME, TITLE = "payments", "Failed and disputed payments"
    GROUPS = (
        ("Tries", ("retry_days",)),
        ("After the last one", ("then", "amount_owed", "write_off")),
        ("Disputes", ("disputed",)),
    )  # fmt: skip
    retry_days = StringField(
        "Days between retries", filters=[clean], validators=[Length(max=60)],
        description="Such as 3, 5, 7: three days after the first failure, then five, then seven.",
    )  # fmt: skip
    then = one_of(
        "The subscription",
        (
            ("cancel", "Is canceled"),
            ("unpaid", "Is put on hold until it is paid"),
            ("past_due", "Stays active, overdue"),
        ),
    )
    amount_owed = one_of(
        "Of the period in which it ends, customers owe", (("used_time", "The time until then"), ("full", "All of it"))
    )
    write_off = switch("The invoice is marked uncollectible", "It can still be paid, but is not expected to be.")
    disputed = one_of(
        "When a customer disputes a payment at the bank, the subscription",
        (
            ("keep", "Goes on"),
            ("cancel_at_period_end", "Ends with its period"),
            ("cancel", "Ends at once"),
        ),
    )

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        dunning = settings["dunning"]
        days = ", ".join(map(str, dunning["retry_days"]))
        return {
            "retry_days": days,
            **{name: dunning[name] for name in ("then", "amount_owed", "write_off", "disputed")},
        }

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings. What is no number is refused by the operation, as 0 is."""
        parts = [part.strip() for part in (self.retry_days.data or "").split(",") if part.strip()]
        days = [int(part) if part.isascii() and part.isdecimal() else 0 for part in parts]
        settings["dunning"] = {
            "retry_days": days, "then": self.then.data, "write_off": self.write_off.data,
            "amount_owed": self.amount_owed.data, "disputed": self.disputed.data,
        }  # fmt: skip


class LinksSection(Section):
    """Where links may lead, and how long those in e-mails work."""

    NAME, TITLE = "links", "Links"
    GROUPS = (("Return links", ("return_hosts",)), ("Links in emails", ("email_link_days",)))
    PARAMS: ClassVar[Mapping[str, str]] = {}
    return_hosts = TextAreaField(
        "Hosts that customers may return to", validators=[Length(max=15_000)],
        description="One in a line, such as app.example.com. Without any, a link may return anywhere.",
    )  # fmt: skip
    email_link_days = IntegerField(
        "For how many days they work", validators=[InputRequired(), NumberRange(1, LONGEST_LIFE)]
    )

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        return {"return_hosts": "\n".join(settings["return_hosts"]), "email_link_days": settings["email_link_days"]}

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        lines = (clean(line).lower() for line in (self.return_hosts.data or "").splitlines())
        settings.update(
            return_hosts=list(dict.fromkeys(filter(None, lines))), email_link_days=self.email_link_days.data
        )

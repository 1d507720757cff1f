"""The form for which e-mails customers get and when, with each of them to look at, and to send to oneself."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Response, abort, current_app, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect
from wtforms import IntegerField, StringField
from wtforms.validators import InputRequired, Length, NumberRange

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.dashboard import blueprint, needs, user
from portal_site.dashboard.settings.sections import Section, switch
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.mail import outbox
from portal_site.mail.outbox import Draft
from portal_site.notices import previews
from portal_site.notices.kinds import LEAST_PERIOD, REMINDERS, Kind, KindSettings, Settings
from portal_site.staff.roles import Right
from portal_site.web.input.forms import clean
from portal_site.web.rendering import i18n

NAMES: Mapping[str, str] = {
    Kind.TRIAL_ENDING: "A free trial is about to end",
    Kind.RENEWAL_AHEAD: "A subscription is about to renew",
    Kind.PAYMENT_FAILED: "A payment has failed",
    Kind.AUTHENTICATION_NEEDED: "A payment has to be confirmed at the bank",
    Kind.CARD_EXPIRING: "A card is about to expire",
    Kind.INVOICE_FINALIZED: "An invoice",
    Kind.UNPAID_REMINDER: "An invoice is not paid",
    Kind.RECEIPT: "A receipt",
    Kind.CANCELLATION_CONFIRMED: "A cancellation",
    Kind.SUBSCRIPTION_ENDED: "A subscription has ended",
    Kind.CHANGE_CONFIRMED: "A change of the plan",
    Kind.PAUSE_BEGUN: "A pause has begun",
    Kind.PAUSE_ENDING: "A pause is about to end",
    Kind.EMAIL_CHANGED: "The email address was changed",
    Kind.REFUND: "A refund",
    "login_code": "A code for logging in",
}
DAYS = "_days"
TEST = "test_of_an_email"
SENDER = "sender"  # the page that a test was sent from, if not these settings
LIFE = 24 * 60 * 60  # seconds for which a test is worth being delivered


class EmailsSection(Section):
    """A switch for each kind, and for reminders the days before their dates. The fields are added below."""

    NAME, TITLE, CONTROLS, PAGE = "emails", "Emails", "dashboard/settings/_email_controls.html", Kind.RECEIPT.value
    FURTHER = "dashboard/settings/_sender_link.html"
    GROUPS: ClassVar[list[tuple[str, list[str]]]] = [
        ("After something has happened", [kind.value for kind in Kind if kind not in REMINDERS]),
        ("Reminders", [name for kind in REMINDERS for name in (kind.value, kind.value + DAYS)] + ["least_period"]),
    ]
    least_period = IntegerField(
        "Shortest period, in days, for reminders of a renewal", validators=[InputRequired(), NumberRange(0, 1000)],
        description="Who pays monthly need not be reminded each time.",
    )  # fmt: skip

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        stored = Settings.of(settings["notices"])
        days = {kind.value + DAYS: ", ".join(map(str, stored[kind].days)) for kind in REMINDERS}
        enabled = {kind.value: stored[kind].enabled for kind in Kind}
        return {**enabled, **days, "least_period": stored[Kind.RENEWAL_AHEAD].least_period}

    def _typed(self, kind: Kind) -> KindSettings:
        words = (self[kind.value + DAYS].data or "") if kind in REMINDERS else ""
        days = tuple(int(part) for part in words.replace("−", "-").split(",") if part.strip())
        least = self.least_period.data if kind == Kind.RENEWAL_AHEAD else LEAST_PERIOD
        return KindSettings(bool(self[kind.value].data), days, least)

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings. Only what differs from the usual is stored."""
        document = dict(settings["notices"] or {})
        for kind in Kind:
            if self._typed(kind) != Settings.of(document)[kind]:
                document = Settings.of(document).changed(kind, self._typed(kind))
        settings["notices"] = document or None

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that the days are days."""
        is_valid: bool = super().validate(*args, **kwargs)
        for kind in REMINDERS if is_valid else ():
            try:
                Settings().changed(kind, self._typed(kind))
            except ValueError:
                self[kind.value + DAYS].errors = ["Enter days, such as 7 or 14, 3."]
            except BillingError as refusal:
                self[kind.value + DAYS].errors = [str(refusal)]
            is_valid = is_valid and not self[kind.value + DAYS].errors
        return is_valid

    def preview(self) -> str | None:
        """The HTML of the e-mail that is looked at."""
        language = i18n.match(request.values.get("language", "")) or i18n.DEFAULT
        kind = request.values.get("page", self.PAGE)
        account_id = (request.view_args or {})["account_id"]
        return previews.preview(kind, language, account_id).html if kind in previews.KINDS else None


for _kind in Kind:
    setattr(EmailsSection, _kind.value, switch(NAMES[_kind]))
for _kind in REMINDERS:
    _hint = "Before its date, separated by commas; after it with a minus." if _kind == Kind.UNPAID_REMINDER else ""
    _field = StringField("Days before", filters=[clean], validators=[Length(max=60)], description=_hint)
    setattr(EmailsSection, _kind.value + DAYS, _field)


@blueprint.post("/<account_id>/emails/test")
@needs(Right.EDIT_SETTINGS)
def send_test(account_id: str) -> Redirect | Response:
    """Send an e-mail of a kind, with made-up contents, from the account's sender to the user's own address."""
    kind = request.form.get("page", "")
    if kind not in previews.KINDS:
        abort(404)
    language = i18n.match(request.form.get("language", "")) or i18n.DEFAULT
    if current_app.config["SETTINGS"].sends_mail:
        _write_test(account_id, kind, language)
        flash(f"It is on its way to {user().email}.", "good")
    else:
        flash("This portal sends no emails yet: its operator has to set up a mail server.", "bad")
    if request.form.get("page_of") == SENDER:
        return redirect(url_for("dashboard.show_sender", account_id=account_id), 303)
    there = url_for(
        "dashboard.show_settings", account_id=account_id, configuration_id="account", section=EmailsSection.NAME,
        page=kind, language=language,
    )  # fmt: skip
    return redirect(there, 303)


def _write_test(account_id: str, kind: str, language: str) -> None:
    content, at = previews.preview(kind, language, account_id), clock.now()
    draft = Draft(
        account_id, False, TEST, f"{TEST}:{new_id('test')}", [user().email], expires_at=at + LIFE, asked_for=True
    )
    with transaction() as session:
        outbox.write(session, draft, content, at)

"""From whom e-mails come: name and addresses, the DNS records of the domain with their check, its key, and a test to oneself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app, flash, redirect, render_template, request
from wtforms import StringField, TextAreaField
from wtforms.validators import Length

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.dashboard import blueprint, forms, needs
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.settings.emails import SENDER, TEST, EmailsSection
from portal_site.dashboard.settings.sections import one_of
from portal_site.mail import outbox
from portal_site.mail.messages import LONGEST_NAME
from portal_site.mail.models import Email, EmailStatus
from portal_site.mail.senders import checks, keys, settings
from portal_site.mail.senders.checks import DKIM, DMARC, SPF, NeededRecord
from portal_site.mail.senders.records import Finding
from portal_site.mail.senders.settings import Sender
from portal_site.staff.roles import Right
from portal_site.web.input.forms import PortalForm, clean, text_field
from portal_site.web.rendering import filters

Page = Any
LONGEST_KEY = 10_000
NEW, OWN = "new", "own"
SOURCES = ((NEW, "Make a new key here"), (OWN, "Use a private key of mine"))
PURPOSES = {
    DKIM: "The public key of your emails’ signature. It also proves that the domain is yours.",
    SPF: "Which servers may send for your domain.",
    DMARC: "What receivers do with emails that only pretend to come from your domain.",
}
BADGES = {
    Finding.OK: ("good", "Found"), Finding.MISSING: ("bad", "Missing"), Finding.DIFFERENT: ("bad", "Different"),
    Finding.INVALID: ("bad", "Not valid"), Finding.SEVERAL: ("bad", "Several"), Finding.UNALIGNED: ("warning", "Does not fit"),
    Finding.UNANSWERED: ("warning", "No answer"), None: ("quiet", "Not looked at"),
}  # fmt: skip
ADVICE: Mapping[Finding | None, str] = {
    Finding.OK: "It is as it should be.",
    Finding.MISSING: "There is no such record yet. New records can take some hours until everybody sees them.",
    Finding.INVALID: "What is there cannot be read as such a record. Replace it.",
    Finding.UNANSWERED: "No name server has said anything about it. Check again later.",
    None: "Set it, then check.",
}
SPECIAL_ADVICE: Mapping[tuple[str, Finding | None], str] = {
    (DKIM, Finding.DIFFERENT): "There is a record with another key, or one that may not sign emails. Replace it.",
    (DKIM, Finding.SEVERAL): "There are several records of this name. Leave only this one.",
    (SPF, Finding.DIFFERENT): "There is a record, but it does not let this portal’s mail server pass. Change it to this.",
    (SPF, Finding.SEVERAL): "There are several SPF records, so receivers use none. Put them together into one.",
    (DMARC, Finding.SEVERAL): "There are several DMARC records, so receivers use none. Leave only one.",
    (DMARC, Finding.UNALIGNED): "The record is there, but your emails are not signed for this domain, so they do not pass it.",
}  # fmt: skip


class SenderForm(PortalForm):
    """Whom e-mails come from."""

    name = text_field("Name", LONGEST_NAME)
    address = StringField("Address", filters=[clean], validators=[Length(max=forms.LONGEST_EMAIL)])
    reply_to = StringField("Answers go to", filters=[clean], validators=[Length(max=forms.LONGEST_EMAIL)])

    @classmethod
    def of(cls, sender: Sender) -> "SenderForm":
        """As it is stored."""
        current = sender.current
        stored = {"name": current.name, "address": sender.address, "reply_to": current.reply_to}
        return cls(formdata=None, data={name: value or "" for name, value in stored.items()})


class KeyForm(PortalForm):
    """Another key. A key that was typed is never shown again."""

    source = one_of("Key", SOURCES)
    selector = StringField(
        "Selector", filters=[clean], validators=[Length(max=63)], description="The key’s name in DNS. Empty: one is made up."
    )  # fmt: skip
    key = TextAreaField(
        "Private key", validators=[Length(max=LONGEST_KEY)], description="An RSA key as PEM, without a password.",
        render_kw={"rows": 4, "autocomplete": "off", "spellcheck": "false"},
    )  # fmt: skip

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that there is a key, if it is to be one's own."""
        is_valid: bool = super().validate(*args, **kwargs)
        if is_valid and self.source.data == OWN and not (self.key.data or "").strip():
            self.key.errors = ["Paste the key."]
            return False
        return is_valid

    @property
    def pem(self) -> str:
        """One's own key."""
        return (self.key.data or "").strip() if self.source.data == OWN else ""


@dataclass(frozen=True)
class ShownRecord:
    """A record with what is said of it."""

    record: NeededRecord
    purpose: str
    badge: tuple[str, str]
    advice: str


def _shown(record: NeededRecord) -> ShownRecord:
    advice = SPECIAL_ADVICE.get((record.kind, record.finding)) or ADVICE[record.finding]
    return ShownRecord(record, PURPOSES[record.kind], BADGES[record.finding], advice)


@blueprint.get("/<account_id>/emails/sender")
@needs(Right.EDIT_SETTINGS, fresh=True)
def show_sender(account_id: str) -> str:
    """The sender with its records, without what is secret of it."""
    return _page(account_id)


def _page(account_id: str, form: SenderForm | None = None, key_form: KeyForm | None = None, refusal: str = "") -> str:
    sender = settings.get(account_id)
    new_key = key_form or KeyForm(formdata=None, data={"source": NEW})
    new_key.key.data = ""
    return render_template(
        "dashboard/sender/index.html",
        sender=sender,
        now_words=now_words(sender),
        records=[_shown(one) for one in checks.needed(sender)],
        domain=settings.domain_of(sender.address or ""),
        form=form or SenderForm.of(sender),
        key_form=new_key,
        refusal=refusal,
        test=test_words(outbox.latest(account_id, TEST)),
        section=EmailsSection.NAME,
        page_of=SENDER,
    )


def now_words(sender: Sender) -> list[str]:
    """Where e-mails come from now, what waits, and what is wrong, in sentences."""
    current = sender.current
    address = current.address or current_app.config["SETTINGS"].mail_from
    signed = (
        f"signed for {current.dkim.domain} with the key {current.dkim.selector}" if current.dkim else "not signed here"
    )
    words = [
        f"Emails come from {current.name or sender.business_name} <{address}>, {signed}. They leave through the mail server of "
        f"this portal’s operator."
    ]  # fmt: skip
    if sender.next is not None and sender.next.address == current.address:
        words.append(f"The key {sender.next.dkim.selector} signs them once its record is found.")
    elif sender.next is not None:
        words.append(f"They come from {sender.next.address} once the record of its key is found.")
    if any(dkim is not None and keys.public_key(dkim) is None for dkim in (current.dkim, sender.dkim)):
        words.append("The key cannot be read any more, so they are not signed. Make a new one below.")
    return words


def test_words(email: Email | None) -> str:
    """What became of the last test, in a sentence; empty without one."""
    if email is None:
        return ""
    when, recipients = filters.minute(email.created), email.recipients["to"]
    to = recipients[0] if recipients else "an address that cannot be reached"
    if email.status == EmailStatus.SENT:
        return f"The test of {when} to {to} was taken by the mail server."
    if email.status in (EmailStatus.PARKED, EmailStatus.SUPPRESSED) or (email.last_error and email.attempts):
        return f"The test of {when} to {to} was refused. The server said: {email.last_error or 'nothing'}"
    if email.status == EmailStatus.EXPIRED:
        return f"The test of {when} to {to} could not be sent within a day."
    if email.last_error:
        return f"The test of {when} to {to} waits: the operator’s mail server cannot be used at the moment."
    return f"The test of {when} to {to} is on its way. Load this page again to see what became of it."


@blueprint.post("/<account_id>/emails/sender")
@needs(Right.EDIT_SETTINGS, fresh=True)
def save_sender(account_id: str) -> Page:
    """Store name and addresses. A new domain has to be proven first."""
    form = SenderForm()
    if not form.validate():
        return _page(account_id, form), 422
    name, address, reply_to = (form[field].data or "" for field in ("name", "address", "reply_to"))
    return _changed(
        lambda: settings.save(account_id, _mark(), name, address, reply_to, clock.now()),
        lambda refusal: _page(account_id, form, refusal=forms.refuse(form, refusal)),
    )


@blueprint.post("/<account_id>/emails/sender/key")
@needs(Right.EDIT_SETTINGS, fresh=True)
def set_sender_key(account_id: str) -> Page:
    """Make a key, or take one's own. It signs once its record is found."""
    form = KeyForm()
    if not form.validate():
        return _page(account_id, key_form=form), 422
    selector, pem = form.selector.data or "", form.pem
    return _changed(
        lambda: settings.set_key(account_id, _mark(), clock.now(), selector=selector, pem=pem),
        lambda refusal: _page(account_id, key_form=form, refusal=forms.refuse(form, refusal)),
    )


@blueprint.post("/<account_id>/emails/sender/withdrawal")
@needs(Right.EDIT_SETTINGS, fresh=True)
def withdraw_sender(account_id: str) -> Page:
    """Give up the address or the key that waits."""
    return _changed(
        lambda: settings.withdraw(account_id, _mark(), clock.now()),
        lambda refusal: _page(account_id, refusal=str(refusal)),
    )


@blueprint.post("/<account_id>/emails/sender/check")
@needs(Right.EDIT_SETTINGS, fresh=True)
def check_sender(account_id: str) -> Page:
    """Look at the records now, which takes ten seconds at most."""
    waited = settings.get(account_id).next is not None
    try:
        found = checks.check(account_id, current_app.extensions["dns"], clock.now())
    except BillingError as refusal:
        return _page(account_id, refusal=str(refusal)), 422
    if waited and found.next is None:
        flash(f"The domain is proven: emails come from {found.current.address} now.", "good")
    else:
        flash("The records were looked at just now. What was found stands below.", "good")
    return redirect(account_url("show_sender"), 303)


def _mark() -> str:
    return request.form.get("mark", "")


def _changed(change: Callable[[], Sender], again: Callable[[BillingError], str]) -> Page:
    try:
        found = change()
    except BillingError as refusal:
        return again(refusal), 409 if str(refusal) == settings.CHANGED_MEANWHILE else 422
    flash("Saved. Set the records below, then check them." if found.next else "Saved.", "good")
    return redirect(account_url("show_sender"), 303)

"""The form for the merchant's own words in e-mails: for each kind, in each language. What is empty says the standard words."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask import request
from markupsafe import Markup
from wtforms import Field, FieldList, FormField, HiddenField, StringField, TextAreaField
from wtforms.validators import ValidationError

from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.emails import NAMES
from portal_site.dashboard.settings.sections import Entry, Section
from portal_site.db.json_columns import JsonObject
from portal_site.mail import own_words
from portal_site.mail.messages import Message
from portal_site.mail.own_words import LONGEST, tidy
from portal_site.mail.rendering import Content
from portal_site.notices import previews
from portal_site.notices.kinds import Kind
from portal_site.web.rendering import i18n

TEXT = "text"  # the other format is HTML


def _fits(form: Any, field: Field) -> None:
    """Refuse words that the e-mail of this form cannot have."""
    if words := own_words.refusal(field.short_name, field.data or "", previews.names(form.kind.data)):
        raise ValidationError(words)


class OwnTexts(Entry):
    """The own words in one kind of e-mail, in one language."""

    kind = HiddenField()
    subject = StringField("Subject", filters=[tidy], validators=[_fits])
    introduction = TextAreaField("Introduction", filters=[tidy], validators=[_fits])
    button = StringField("Button", filters=[tidy], validators=[_fits])

    @property
    def summary(self) -> str:
        """Which of the words are the merchant's own."""
        own = ", ".join(self.document())
        return f"yours: {own}" if own else "standard"

    @property
    def is_known(self) -> bool:
        """Whether there is such an e-mail."""
        return self.kind.data in previews.KINDS

    def document(self) -> JsonObject:
        """As it is stored."""
        return {name: self[name].data for name in LONGEST if name in self and self[name].data}

    def describe(self, standard: Message, language: str) -> None:
        """Say what stands there without own words, and what these can name."""
        self.title = NAMES[self.kind.data or ""]
        can_name = ", ".join(f"{{{name}}}" for name in previews.names(self.kind.data or ""))
        self.note = f"These names are filled in: {can_name}."
        self.subject.description = f"Standard: “{standard.subject}”"
        self.introduction.description = _place_of_introduction(standard)
        if standard.button is None:
            del self.button
        else:
            self.button.description = f"Standard: “{standard.button.words}”"
        for field in self:
            field.render_kw = {"lang": language, "dir": "auto", **({"rows": 5} if field is self.introduction else {})}


def _place_of_introduction(standard: Message) -> str:
    if standard.opening:
        return f"In the place of: “{' '.join(standard.opening)}” A blank line begins a paragraph."
    return f"Above: “{standard.paragraphs[0]}” A blank line begins a paragraph."


class EmailTexts(Section):
    """Own words, a list of forms for each language. The lists are added below."""

    NAME, TITLE, CONTROLS = "email_texts", "Email texts", "dashboard/settings/_text_controls.html"
    PAGE = Kind.RECEIPT.value
    GROUPS: ClassVar[list[tuple[str, list[str]]]] = [(name, [language]) for language, name in i18n.LANGUAGES.items()]
    notes = (
        "Your words replace the subject, the introduction and the words of the button. Amounts, dates, links and whatever else "
        "customers have to be told stay in the email.",
    )

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields: all kinds, in each language."""
        stored = settings["email_texts"]
        return {
            language: [{"kind": str(kind), **own_words.of(stored, kind, language)} for kind in previews.KINDS]
            for language in i18n.LANGUAGES
        }

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """Say what the standard words are, and forget forms of e-mails that there are not."""
        account_id = (request.view_args or {})["account_id"]
        for language in i18n.LANGUAGES:
            entries = self[language].entries
            entries[:] = [entry for entry in entries if entry.form.is_known]
            standard = previews.standard_messages(account_id, language)
            for entry in entries:
                entry.form.describe(standard[entry.form.kind.data], language)

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings. Raises ValueError for what a preview cannot show."""
        if not all(_is_fit(entry.form) for language in i18n.LANGUAGES for entry in self[language].entries):
            raise ValueError("these words do not fit")
        settings["email_texts"] = self._typed(settings["email_texts"])

    def _typed(self, stored: Mapping[str, Any] | None) -> JsonObject | None:
        document = {kind: dict(languages) for kind, languages in (stored or {}).items()}
        for language in i18n.LANGUAGES:
            for entry in self[language].entries:
                document.setdefault(entry.form.kind.data, {})[language] = entry.form.document()
        filled = {kind: {name: own for name, own in languages.items() if own} for kind, languages in document.items()}
        return {kind: languages for kind, languages in filled.items() if languages} or None

    def preview(self) -> str | None:
        """The e-mail that is looked at, with what was typed."""
        language = i18n.match(request.values.get("language", "")) or i18n.DEFAULT
        kind = request.values.get("page", self.PAGE)
        account_id = (request.view_args or {})["account_id"]
        if kind not in previews.KINDS:
            return None
        return _shown(previews.preview(kind, language, account_id, self._typed({}) or {}))


def _is_fit(form: OwnTexts) -> bool:
    names = previews.names(form.kind.data or "")
    return not any(own_words.refusal(name, text, names) for name, text in form.document().items())


def _shown(content: Content) -> str:
    """An e-mail with its subject above it, which mail programs show elsewhere."""
    subject = Markup('<p style="margin:0;padding:12px;font:16px sans-serif"><b>{}</b></p>').format(content.subject)
    if request.values.get("format") == TEXT:
        pre = Markup('<pre style="padding:12px;font-size:15px;white-space:pre-wrap">{}</pre>').format(content.text)
        title = Markup(
            '<!doctype html><html lang="en"><title>{}</title><body style="background:#fff;color:#111">'
        ).format(content.subject)
        return title + subject + pre
    head, body, rest = content.html.partition("<body")
    tag, end, rest = rest.partition(">")
    return "".join((head, body, tag, end, str(subject), rest))


for _language in i18n.LANGUAGES:
    setattr(EmailTexts, _language, FieldList(FormField(OwnTexts), "Texts", max_entries=len(previews.KINDS)))

"""Each kind of e-mail with made-up contents, to look at."""

from collections.abc import Mapping
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account
from portal_site.db.transactions import transaction
from portal_site.mail import login_codes, rendering
from portal_site.mail.messages import Message
from portal_site.mail.rendering import Content
from portal_site.notices import samples
from portal_site.notices.kinds import NAMES, Kind
from portal_site.notices.texts import TEXTS
from portal_site.notices.texts.context import finished
from portal_site.portal.access.visitors import Visitor
from portal_site.web.rendering import i18n

CODE_PAGE = "https://billing.example.com/login/sample/code?code=407913"
CODE = "407913"
KINDS = (*Kind, login_codes.KIND)
Texts = Mapping[str, Any] | None


def preview(kind: str, locale: str, account_id: str | None, typed: Texts = None) -> Content:
    """An e-mail of this kind in an account's colours and words; with `typed` in those, `{}` being the standard ones.

    Raises BillingError for an unknown kind or locale.
    """
    if kind not in KINDS:
        raise BillingError(f"No such kind of e-mail: {kind}. There are: {', '.join(sorted(KINDS))}.")
    if i18n.match(locale) is None:
        raise BillingError(f"There are no e-mails in {locale}. The languages are: {', '.join(sorted(i18n.LANGUAGES))}.")
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        texts = account.email_texts if typed is None else typed
        context = _context(kind, account, locale)
    visitor: Visitor = context.visitor
    with rendering.in_language_of(visitor):
        return rendering.render(_message(kind, context, texts), visitor.business_name, visitor.branding)


def standard_messages(account_id: str, language: str) -> dict[str, Message]:
    """What each kind says in the program's own words, for one account's sample."""
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        contexts = {kind: _context(kind, account, language) for kind in KINDS}
    with rendering.in_language_of(contexts[Kind.RECEIPT].visitor):
        return {kind: _message(kind, context, {}) for kind, context in contexts.items()}


def names(kind: str) -> tuple[str, ...]:
    """What a merchant's own words in an e-mail of this kind can name."""
    return login_codes.NAMES if kind == login_codes.KIND else NAMES[Kind(kind)]


def _context(kind: str, account: Account, locale: str) -> samples.SampleContext:
    return samples.context(Kind.RECEIPT if kind == login_codes.KIND else Kind(kind), account, locale)


def _message(kind: str, context: samples.SampleContext, texts: Texts) -> Message:
    if kind == login_codes.KIND:
        return login_codes.message(CODE, context.visitor.business_name, CODE_PAGE, texts)
    found = TEXTS[Kind(kind)](context)
    assert found is not None
    return finished(found, context, texts)

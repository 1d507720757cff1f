"""Each kind of e-mail with made-up contents, to look at."""

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.db.transactions import transaction
from portal_site.mail import login_codes, rendering
from portal_site.mail.rendering import Content
from portal_site.notices import samples
from portal_site.notices.kinds import Kind
from portal_site.notices.texts import TEXTS
from portal_site.notices.texts.context import finished
from portal_site.web.rendering import i18n

CODE_PAGE = "https://billing.example.com/login/sample/code?code=407913"
KINDS = (*Kind, login_codes.KIND)


def preview(kind: str, locale: str, account_id: str | None) -> Content:
    """An e-mail of this kind in an account's colours. Raises BillingError for an unknown kind or locale."""
    if kind not in KINDS:
        raise BillingError(f"No such kind of e-mail: {kind}. There are: {', '.join(sorted(KINDS))}.")
    if i18n.match(locale) is None:
        raise BillingError(f"There are no e-mails in {locale}. The languages are: {', '.join(sorted(i18n.LANGUAGES))}.")
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        context = samples.context(Kind.RECEIPT if kind == login_codes.KIND else Kind(kind), account, locale)
    visitor = context.visitor
    with rendering.in_language_of(visitor):
        if kind == login_codes.KIND:
            message = login_codes.message("407913", visitor.business_name, CODE_PAGE)
        else:
            found = TEXTS[Kind(kind)](context)
            assert found is not None
            message = finished(found, context)
        return rendering.render(message, visitor.business_name, visitor.branding)

"""Each kind of e-mail with made-up contents, to look at."""

from collections.abc import Callable

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.branding import theme
from portal_site.db.transactions import transaction
from portal_site.mail import login_codes, rendering
from portal_site.mail.messages import Message
from portal_site.mail.rendering import Content, Reader
from portal_site.web.rendering import i18n

SAMPLES: dict[str, Callable[[str], Message]] = {
    login_codes.KIND: lambda business: login_codes.message(
        "407913", business, "https://billing.example.com/login/x/code?code=407913"
    )
}


def preview(kind: str, locale: str, account_id: str | None) -> Content:
    """An e-mail of this kind in an account's colours. Raises BillingError for an unknown kind or locale."""
    if kind not in SAMPLES:
        raise BillingError(f"No such kind of e-mail: {kind}. There are: {', '.join(sorted(SAMPLES))}.")
    if i18n.match(locale) is None:
        raise BillingError(f"There are no e-mails in {locale}. The languages are: {', '.join(sorted(i18n.LANGUAGES))}.")
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        branding, business, zone = theme.parse(**account.branding), account.business_name, account.timezone
    with rendering.in_language_of(Reader(locale, zone)):
        return rendering.render(SAMPLES[kind](business), business, branding)

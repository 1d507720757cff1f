"""The e-mails with login codes: the worker's answers to what was typed on login pages."""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site import encryption
from portal_site.billing.models import Account, LoginRequest, PortalConfiguration
from portal_site.billing.portal_access import logins
from portal_site.branding import theme
from portal_site.db.transactions import transaction
from portal_site.mail import outbox, own_words, rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Reader
from portal_site.web import addresses, signing
from portal_site.web.rendering.i18n import gettext as _

log = logging.getLogger("portal.mail")
KIND = "login_code"
NAMES = ("business_name", "code")  # what a merchant's own words in its e-mail can name
PURPOSE = "login-code"
TICKET = "expired-session"  # the purpose of a signed id of a session that is to be replaced
AT_ONCE = 50


def code_hashes(request_id: str, code: str) -> tuple[str, ...]:
    """What is stored of a code, under each secret key. A code is of one request only."""
    return encryption.fingerprints(PURPOSE, f"{request_id}:{code}")


def answer_requests(at: int) -> int:
    """Make the codes that are asked for, and write their e-mails; how many requests were answered, one way or another."""
    with transaction() as session:
        requests = logins.unanswered(session, AT_ONCE)
        for request in requests:
            request.answered_at = at
            try:
                with session.begin_nested():  # flushes, so that the next request counts this one
                    if logins.may_mail(session, request, at):
                        _answer(session, request, at)
            except DBAPIError:  # all of them are tried again
                raise
            except Exception:  # a merchant's branding that cannot be read must not keep the others' customers out
                log.exception("the login request %s cannot be answered", request.id)
        return len(requests)


def _answer(session: Session, request: LoginRequest, at: int) -> None:
    code = logins.new_code()
    request.code_hash = code_hashes(request.id, code)[0]
    account = session.get_one(Account, request.account_id)
    own = select(PortalConfiguration).where(
        PortalConfiguration.account_id == request.account_id, PortalConfiguration.id == request.configuration_id
    )
    configuration = session.scalars(own).one()
    customer = logins.customers_of(session, request)[0]
    link = _link(request, configuration, code)
    reader = Reader(
        request.locale, account.timezone, customer.timezone, preferred_locales=tuple(customer.preferred_locales or ())
    )
    branding = theme.parse(**{**account.branding, **(configuration.branding or {})})
    with rendering.in_language_of(reader):
        said = message(code, account.business_name, link, account.email_texts)
        content = rendering.render(said, account.business_name, branding)
    draft = Draft(
        request.account_id, request.livemode, KIND, f"{KIND}:{request.id}", [customer.email or ""],
        customer_id=customer.id, expires_at=request.expires_at, asked_for=True,
    )  # fmt: skip
    outbox.write(session, draft, content, at)


def _link(request: LoginRequest, configuration: PortalConfiguration, code: str) -> str:
    if request.session_id is not None:
        ticket = signing.sign(TICKET, request.session_id)
        return addresses.on(request.host, request.account_id, "replacements.show_code", ticket=ticket, code=code)
    page_id = configuration.login_page_id or "closed"
    return addresses.on(request.host, request.account_id, "logins.show_code", login_page_id=page_id, code=code)


def message(code: str, business: str, link: str, texts: Mapping[str, Any] | None) -> Message:
    """The e-mail with a code, in the merchant's own words as far as `texts` (`Account.email_texts`) has some.

    The link fills the code in, in the browser where it was asked for.
    """
    words = own_words.of(texts, KIND, rendering.language())
    return own_words.put_in(_message(code, business, link), words, {"business_name": business, "code": code})


def _message(code: str, business: str, link: str) -> Message:
    return Message(
        subject=_("%(code)s is your code for %(business)s", code=code, business=business),
        heading=_("Your login code"),
        paragraphs=(_("Enter this code on the page where you asked for it. It works for ten minutes."),),
        preview=_("It works for ten minutes."),
        code=code,
        button=Button(_("Fill in the code"), link),
        notes=(
            _("The link works in the browser where you asked for the code."),
            _("If you did not ask for it, you can ignore this email: nobody gets in without the code."),
        ),
    )

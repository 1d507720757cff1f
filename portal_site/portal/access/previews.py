"""Pages of the portal as a customer would see them, rendered for somebody else who can do nothing with them."""

from collections.abc import Mapping

from flask import Response, current_app, g, make_response, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from portal_site.billing.errors import BillingError
from portal_site.db.transactions import discarding_writes
from portal_site.portal.access.visitors import Visitor
from portal_site.web.rendering import i18n


def render(
    visitor: Visitor, endpoint: str, values: Mapping[str, str], at: int, locale: str | None, scheme: str
) -> str | None:
    """The HTML of a page at the instant `at`; None if this visitor does not get to see it.

    The page is built by its own view in a request of its own, without the browser's session and without scripts. Nothing is
    written. `scheme` is `light` or `dark`.
    """
    path = url_for(endpoint, **values)  # type: ignore[arg-type]
    environ = EnvironBuilder(path, request.host_url).get_environ()
    with current_app.app_context(), current_app.request_context(environ), discarding_writes():
        g.visitor, g.now, g.scheme, g.previewed = visitor, at, scheme, True
        g.locale_context = i18n.context_for(locale, *visitor.preferred_locales)
        try:
            answer: Response = make_response(current_app.view_functions[endpoint](**values))
        except (HTTPException, BillingError):  # switched off, or nothing that it could be about
            return None
        return answer.get_data(as_text=True) if answer.status_code == 200 else None

"""How long somebody has to wait, in words."""

from portal_site.web.rendering.i18n import ngettext

MINUTE, HOUR = 60, 60 * 60


def try_again(seconds: int) -> str:
    """When to try again, rounded up to what one can remember."""
    if seconds < MINUTE:
        return ngettext("Try again in %(num)s second.", "Try again in %(num)s seconds.", seconds)
    minutes = -(-seconds // MINUTE)
    if minutes * MINUTE < HOUR:
        return ngettext("Try again in %(num)s minute.", "Try again in %(num)s minutes.", minutes)
    return ngettext("Try again in %(num)s hour.", "Try again in %(num)s hours.", -(-seconds // HOUR))

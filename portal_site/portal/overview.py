"""The overview: what needs attention first, then every section that the configuration shows."""

from flask import g, render_template

from portal_site.portal import blueprint
from portal_site.portal.reads import overview


@blueprint.get("/")
def show_overview() -> str:
    """The overview, to which portal links lead."""
    return render_template("portal/overview/show.html", page=overview.find(g.visitor, g.now))

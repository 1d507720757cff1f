"""Subscriptions: the section, and a page for each."""

from flask import abort, g, render_template

from portal_site.portal import blueprint
from portal_site.portal.reads import overview
from portal_site.web.input.forms import translated


@blueprint.get("/subscriptions")
def show_subscriptions() -> str:
    """The page with the section, ended subscriptions included."""
    page = overview.find(g.visitor, g.now)
    return render_template("portal/subscriptions/index.html", page=page)


@blueprint.get("/subscriptions/list")
def show_subscription_list() -> str:
    """The section as a fragment."""
    page = overview.find(g.visitor, g.now)
    return render_template("portal/subscriptions/_list.html", page=page)


@blueprint.get("/subscriptions/<subscription_id>")
def show_subscription(subscription_id: str) -> str:
    """The page of one subscription."""
    found = overview.find_subscription(g.visitor, subscription_id, g.now)
    if found is None:
        abort(404)
    subscription, method = found
    features = g.visitor.features.subscription_update
    refusal = subscription.change_refusal(g.now, has_add_ons=bool(features.add_on_ids))
    return render_template(
        "portal/subscriptions/show.html",
        subscription=subscription,
        method=method,
        change_refusal=translated(refusal) if refusal else "",
    )

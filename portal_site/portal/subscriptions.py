"""Subscriptions: the section, and a page for each."""

from flask import abort, g, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal_site.portal import blueprint
from portal_site.portal.reads import overview
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.input.forms import translated


def find_own(subscription_id: str) -> tuple[SubscriptionView, PaymentMethodView | None]:
    """A subscription of the visitor's and what it is charged to. Answers 404 for any other id."""
    return overview.find_subscription(g.visitor, subscription_id, g.now) or abort(404)


def to_subscription(subscription_id: str) -> Response:
    """The way to the subscription's page after a form."""
    return redirect(url_for("portal.show_subscription", subscription_id=subscription_id), 303)


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
    subscription, method = find_own(subscription_id)
    features = g.visitor.features.subscription_update
    refusal = subscription.change_refusal(g.now, has_add_ons=bool(features.add_on_ids))
    return render_template(
        "portal/subscriptions/show.html",
        subscription=subscription,
        method=method,
        change_refusal=translated(refusal) if refusal else "",
    )

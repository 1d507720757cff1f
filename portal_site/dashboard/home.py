"""The accounts of a user, and the first page of one: what is set up already, and what comes next."""

from flask import redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.dashboard import SIGNED_IN, blueprint, needs, place, user
from portal_site.dashboard.invoices import words
from portal_site.dashboard.reads import checklist, invoice_money
from portal_site.staff.roles import Right


@blueprint.get("")
@needs(SIGNED_IN)
def show_accounts() -> Response | str:
    """The accounts to choose from; of only one, its first page."""
    if len(user().places) == 1:
        return redirect(url_for("dashboard.show_home", account_id=user().places[0].account_id), 303)
    return render_template("dashboard/accounts.html")


@blueprint.get("/<account_id>")
@needs(Right.VIEW_SETTINGS)
def show_home(account_id: str) -> str:
    """What needs somebody's attention, what is set up, and what comes next."""
    found = invoice_money.alerts(account_id, clock.now()) if place().may(Right.VIEW_CUSTOMERS) else []
    return render_template(
        "dashboard/home.html",
        steps=checklist.steps(account_id, place().may),
        alerts=words.alerts(found, account_id, names_customer=True),
    )

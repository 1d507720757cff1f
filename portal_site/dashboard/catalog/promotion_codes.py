"""Promotion codes of a coupon: a further one, and switching one off and on."""

from typing import Any

from flask import abort, flash, redirect, request

from portal_site import clock
from portal_site.billing.catalog import promotion_codes as codes
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, modes, needs, place
from portal_site.dashboard.catalog import coupons
from portal_site.dashboard.catalog.coupon_forms import CodeForm
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.reads import customer_names
from portal_site.staff.roles import Right

Page = Any
OF_COUPON = f"{IN_MODE}/coupons/<coupon_id>/codes"


@blueprint.post(OF_COUPON)
@needs(Right.EDIT_SETTINGS)
def create_promotion_code(account_id: str, mode: str, coupon_id: str) -> Page:
    """Create a promotion code for a coupon."""
    row, form = coupons.find(account_id, coupon_id), CodeForm()
    if not form.validate():
        return coupons.coupon_page(row, form), 422
    try:
        customer = _customer_id(account_id, form.customer.data or "")
        made = codes.create(
            account_id, mode == modes.LIVE, clock.now(), coupon_id, code=form.code.data or "",
            restrictions=form.restrictions(place().timezone, customer),
        )  # fmt: skip
    except BillingError as refusal:
        return coupons.coupon_page(row, form, form.refuse(refusal)), 422
    flash(f"The code {made.code} can be redeemed.", "good")
    return redirect(account_url("show_coupon", coupon_id=coupon_id), 303)


def _customer_id(account_id: str, typed: str) -> str | None:
    """The id of the customer that is typed by e-mail address or id; None if nothing is. Raises BillingError."""
    if "@" not in typed:
        return typed or None
    found = customer_names.with_email(account_id, modes.is_live(), typed)
    if len(found) != 1:
        problem = "Several customers have this email: enter the ID." if found else "No customer has this email."
        raise BillingError(problem, "", "customer")
    return found[0]


@blueprint.post(f"{OF_COUPON}/<code_id>/activity")
@needs(Right.EDIT_SETTINGS)
def switch_promotion_code(account_id: str, mode: str, coupon_id: str, code_id: str) -> Page:
    """Switch a code off or on."""
    wanted = request.form.get("active") == "yes"
    coupons.find(account_id, coupon_id)
    try:
        if codes.get(account_id, mode == modes.LIVE, code_id).coupon_id != coupon_id:
            abort(404)
        row = codes.update(account_id, mode == modes.LIVE, code_id, clock.now(), active=wanted)
    except NotFound:
        abort(404)
    except BillingError as refusal:
        flash(str(refusal), "bad")
    else:
        flash(f"The code {row.code} is {'on' if wanted else 'off'}.", "good")
    return redirect(account_url("show_coupon", coupon_id=coupon_id), 303)

"""Coupons: their list, a new one, the page of one with its promotion codes, and deleting one."""

from typing import Any

from flask import abort, flash, redirect, render_template
from sqlalchemy import Row

from portal_site import clock
from portal_site.billing.accounts import account_settings
from portal_site.billing.catalog import coupons
from portal_site.billing.catalog import promotion_codes as codes
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, modes, needs, place
from portal_site.dashboard.catalog import lists, wording
from portal_site.dashboard.catalog.coupon_forms import CodeForm, CouponForm, CouponNameForm
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.reads import catalogue, customer_names
from portal_site.staff.roles import Right

Page = Any


def find(account_id: str, coupon_id: str) -> Row[Any]:
    """The coupon of the page, or 404."""
    try:
        return coupons.get(account_id, modes.is_live(), coupon_id)
    except NotFound:
        abort(404)


def currency_of(account_id: str) -> str:
    """The currency that forms begin with."""
    return account_settings.get(account_id).default_currency or "eur"


@blueprint.get(f"{IN_MODE}/coupons")
@needs(Right.VIEW_SETTINGS)
def show_coupons(account_id: str, mode: str) -> str:
    """The coupons, newest first."""
    asked, now = lists.filters(), clock.now()
    found = lists.listing(
        lambda place: coupons.page(
            account_id, mode == modes.LIVE, now, active=asked.active, text=asked.text, place=place
        ),
        "show_coupons",
        **asked.values,
    )
    return render_template("dashboard/catalog/coupons.html", listing=found, filters=asked, words=wording)


@blueprint.get(f"{IN_MODE}/coupons/new")
@needs(Right.EDIT_SETTINGS)
def show_new_coupon(account_id: str, mode: str) -> str:
    """The form for a new coupon."""
    form = CouponForm.empty(currency_of(account_id))
    return _new_page(form.offer(catalogue.find(account_id, mode == modes.LIVE)))


def _new_page(form: CouponForm, refusal: str = "") -> str:
    return render_template("dashboard/catalog/new_coupon.html", form=form, refusal=refusal)


@blueprint.post(f"{IN_MODE}/coupons")
@needs(Right.EDIT_SETTINGS)
def create_coupon(account_id: str, mode: str) -> Page:
    """Create a coupon, and lead to its page, where codes are made."""
    form = CouponForm().offer(catalogue.find(account_id, mode == modes.LIVE))
    if not form.validate():
        return _new_page(form), 422
    try:
        made = coupons.create(
            account_id, mode == modes.LIVE, clock.now(), form.definition(place().timezone),
            coupon_id=form.coupon_id.data or None, name=form.name.data, applies_to=form.products.data or [],
        )  # fmt: skip
    except BillingError as refusal:
        return _new_page(form, form.refuse(refusal)), 422
    flash("The coupon is there. Customers redeem it with a promotion code.", "good")
    return redirect(account_url("show_coupon", coupon_id=made.id), 303)


@blueprint.get(f"{IN_MODE}/coupons/<coupon_id>")
@needs(Right.VIEW_SETTINGS)
def show_coupon(account_id: str, mode: str, coupon_id: str) -> str:
    """A coupon with its promotion codes."""
    row = find(account_id, coupon_id)
    form = CodeForm(formdata=None, data={"currency": row.currency or currency_of(account_id)})
    return coupon_page(row, form)


def coupon_page(row: Row[Any], form: CodeForm, refusal: str = "", name_form: CouponNameForm | None = None) -> str:
    """The page of a coupon, with a form for a further code."""
    now = clock.now()
    found = lists.listing(
        lambda place: codes.page(row.account_id, row.livemode, now, coupon_id=row.id, place=place),
        "show_coupon",
        coupon_id=row.id,
    )
    products = row.applies_to_products or []
    known = catalogue.product_names(row.account_id, products)
    customers = customer_names.of(row.account_id, [code.customer_id for code in found.rows if code.customer_id])
    return render_template(
        "dashboard/catalog/coupon.html",
        coupon=row,
        state=wording.coupon_state(row, now),
        products=[known.get(name, name) for name in products],
        listing=found,
        customers=customers,
        words=wording,
        form=form,
        name_form=name_form or CouponNameForm(formdata=None, data={"name": row.name}),
        refusal=refusal,
    )


@blueprint.post(f"{IN_MODE}/coupons/<coupon_id>")
@needs(Right.EDIT_SETTINGS)
def save_coupon(account_id: str, mode: str, coupon_id: str) -> Page:
    """Change a coupon's name."""
    row, name_form = find(account_id, coupon_id), CouponNameForm()
    form = CodeForm(formdata=None, data={"currency": row.currency or currency_of(account_id)})
    if not name_form.validate():
        return coupon_page(row, form, name_form=name_form), 422
    try:
        coupons.update(account_id, mode == modes.LIVE, coupon_id, clock.now(), name=name_form.name.data)
    except BillingError as refusal:
        return coupon_page(row, form, name_form.refuse(refusal), name_form), 422
    flash("Saved.", "good")
    return redirect(account_url("show_coupon", coupon_id=coupon_id), 303)


@blueprint.get(f"{IN_MODE}/coupons/<coupon_id>/deletion")
@needs(Right.EDIT_SETTINGS)
def ask_to_delete_coupon(account_id: str, mode: str, coupon_id: str) -> str:
    """Ask first: a deleted coupon cannot be brought back."""
    row = find(account_id, coupon_id)
    return render_template("dashboard/catalog/coupon_deletion.html", coupon=row, words=wording)


@blueprint.post(f"{IN_MODE}/coupons/<coupon_id>/deletion")
@needs(Right.EDIT_SETTINGS)
def delete_coupon(account_id: str, mode: str, coupon_id: str) -> Page:
    """Delete a coupon. Discounts that it has given go on."""
    find(account_id, coupon_id)
    coupons.delete(account_id, mode == modes.LIVE, coupon_id, clock.now())
    flash("The coupon is deleted. Discounts that it has given go on.", "good")
    return redirect(account_url("show_coupons"), 303)

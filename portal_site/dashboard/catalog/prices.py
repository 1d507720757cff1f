"""Prices of a product: a new one, with what it costs before it is created; archiving one, its nickname and lookup key."""

from typing import Any

from flask import abort, flash, redirect, render_template, request
from sqlalchemy import Row
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.accounts import account_settings
from portal_site.billing.catalog import prices
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.rules.catalog import price_definitions
from portal_site.dashboard import blueprint, modes, needs
from portal_site.dashboard.catalog import products, wording
from portal_site.dashboard.catalog.price_forms import PriceChangesForm, PriceForm
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.staff.roles import Right
from portal_site.web import htmx
from portal_site.web.input.forms import translated

Page = Any
OF_PRODUCT = f"{IN_MODE}/products/<product_id>/prices"
NOTHING_YET = "Enter an amount to see what customers will pay."


@blueprint.get(f"{OF_PRODUCT}/new")
@needs(Right.EDIT_SETTINGS)
def show_new_price(account_id: str, mode: str, product_id: str) -> str:
    """The form for a new price, in the account's own currency at first."""
    row = products.find(account_id, product_id)
    return _new_page(row, PriceForm.empty(account_settings.get(account_id).default_currency or "eur"))


def _new_page(product: Row[Any], form: PriceForm, refusal: str = "", cost: list[tuple[str, str]] | None = None) -> str:
    return render_template(
        "dashboard/catalog/new_price.html",
        product=product,
        form=form,
        refusal=refusal,
        cost=cost or [],
        why_none=NOTHING_YET,
    )


@blueprint.post(f"{OF_PRODUCT}/new")
@needs(Right.EDIT_SETTINGS)
def create_price(account_id: str, mode: str, product_id: str) -> Page:
    """Create a price."""
    product, form = products.find(account_id, product_id), PriceForm()
    if not form.validate():
        return _new_page(product, form), 422
    try:
        prices.create(
            account_id, mode == modes.LIVE, clock.now(), product_id, form.definition(), nickname=form.nickname.data,
            lookup_key=form.lookup_key.data, transfer_lookup_key=form.transfer.data,
        )  # fmt: skip
    except BillingError as refusal:
        return _new_page(product, form, form.refuse(refusal)), 422
    flash("The price is there.", "good")
    return redirect(account_url("show_product", product_id=product_id), 303)


@blueprint.post(f"{OF_PRODUCT}/preview")
@needs(Right.EDIT_SETTINGS)
def preview_price(account_id: str, mode: str, product_id: str) -> Page:
    """What some quantities would cost with what is typed, which is not stored; or the form with more tiers."""
    product, form = products.find(account_id, product_id), PriceForm()
    if request.form.get("rows"):
        form.add_rows()
        return _new_page(product, form)
    in_page = not htmx.is_fragment_request()
    cost: list[tuple[str, str]] = []
    why_none = refusal = ""
    if form.validate():
        try:
            cost = wording.examples(price_definitions.columns(form.definition()), product.unit_label)
        except BillingError as refused:
            why_none, refusal = translated(refused), form.refuse(refused)
    if in_page:
        return _new_page(product, form, refusal, cost), 200 if cost else 422
    return Response(
        render_template("dashboard/catalog/_cost.html", cost=cost, why_none=why_none or NOTHING_YET),
        mimetype="text/html",
    )


@blueprint.post(f"{OF_PRODUCT}/<price_id>")
@needs(Right.EDIT_SETTINGS)
def save_price(account_id: str, mode: str, product_id: str, price_id: str) -> Page:
    """Change a price's nickname and lookup key."""
    product = products.find(account_id, product_id)
    _find(account_id, product_id, price_id)
    form = PriceChangesForm()
    if not form.validate():
        return products.product_page(product, products.ProductForm.of(product), "", price_id, form), 422
    try:
        prices.update(
            account_id, mode == modes.LIVE, price_id, clock.now(), nickname=form.nickname.data,
            lookup_key=form.lookup_key.data,
        )  # fmt: skip
    except BillingError as refused:
        words = form.refuse(refused)
        return products.product_page(product, products.ProductForm.of(product), words, price_id, form), 422
    flash("Saved.", "good")
    return redirect(account_url("show_product", product_id=product_id), 303)


@blueprint.post(f"{OF_PRODUCT}/<price_id>/activity")
@needs(Right.EDIT_SETTINGS)
def switch_price(account_id: str, mode: str, product_id: str, price_id: str) -> Page:
    """Archive a price, or bring it back."""
    wanted = request.form.get("active") == "yes"
    products.find(account_id, product_id)
    _find(account_id, product_id, price_id)
    prices.update(account_id, mode == modes.LIVE, price_id, clock.now(), active=wanted)
    flash(
        "It is offered again." if wanted else "It is archived: nobody is offered it, and who has it keeps it.", "good"
    )
    return redirect(account_url("show_product", product_id=product_id), 303)


def _find(account_id: str, product_id: str, price_id: str) -> None:
    """404 unless the product has this price."""
    try:
        row = prices.get(account_id, modes.is_live(), price_id)
    except NotFound:
        abort(404)
    if row.product_id != product_id:
        abort(404)

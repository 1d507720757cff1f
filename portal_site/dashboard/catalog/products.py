"""Products: their list, a new one, and the page of one with its prices."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask import abort, flash, redirect, render_template, request
from sqlalchemy import Row
from wtforms import StringField

from portal_site import clock
from portal_site.billing.catalog import prices as price_rows
from portal_site.billing.catalog import products
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, modes, needs
from portal_site.dashboard.catalog import lists, wording
from portal_site.dashboard.catalog.forms import CatalogForm, lines_field
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.staff.roles import Right
from portal_site.web.input.forms import text_field

Page = Any
LONGEST_DESCRIPTION, LONGEST_LIST = 5000, 5000


class ProductForm(CatalogForm):
    """What customers read of a product."""

    name = text_field("Name", products.LONGEST_NAME, True)
    description = lines_field("Description", LONGEST_DESCRIPTION, "Customers read it beside the plan.")
    unit_label: StringField = text_field("Unit", products.LONGEST_UNIT)
    features = lines_field("Features", LONGEST_LIST, "One in a line. Customers read them when they choose a plan.")
    PARAMS: ClassVar[Mapping[str, str]] = {"marketing_features": "features"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit_label.description = "What one of it is called, such as seat: 5 seats."

    @classmethod
    def of(cls, row: Row[Any]) -> "ProductForm":
        """The form with what is stored."""
        features = "\n".join(feature["name"] for feature in row.marketing_features or [])
        return cls(
            formdata=None,
            data={"name": row.name, "description": row.description, "unit_label": row.unit_label, "features": features},
        )

    def field_of(self, param: str) -> Any:
        """A feature's number is not shown: its refusal stands at the list."""
        return super().field_of(param.partition("[")[0])

    def members(self) -> products.ProductChanges:
        """What was typed, as the operations take it."""
        lines = (line.strip() for line in (self.features.data or "").splitlines())
        return {
            "name": self.name.data or "",
            "description": self.description.data,
            "unit_label": self.unit_label.data,
            "marketing_features": [line for line in lines if line],
        }


def find(account_id: str, product_id: str) -> Row[Any]:
    """The product of the page, or 404."""
    try:
        return products.get(account_id, modes.is_live(), product_id)
    except NotFound:
        abort(404)


@blueprint.get(f"{IN_MODE}/products")
@needs(Right.VIEW_SETTINGS)
def show_products(account_id: str, mode: str) -> str:
    """The products, newest first."""
    asked = lists.filters()
    found = lists.listing(
        lambda place: products.page(account_id, mode == modes.LIVE, active=asked.active, text=asked.text, place=place),
        "show_products",
        **asked.values,
    )
    return render_template("dashboard/catalog/products.html", listing=found, filters=asked, state=wording.state)


@blueprint.get(f"{IN_MODE}/products/new")
@needs(Right.EDIT_SETTINGS)
def show_new_product(account_id: str, mode: str) -> str:
    """The form for a new product."""
    return _new_page(ProductForm(formdata=None))


def _new_page(form: ProductForm, refusal: str = "") -> str:
    return render_template("dashboard/catalog/new_product.html", form=form, refusal=refusal)


@blueprint.post(f"{IN_MODE}/products")
@needs(Right.EDIT_SETTINGS)
def create_product(account_id: str, mode: str) -> Page:
    """Create a product, and lead to its page, where prices are added."""
    form = ProductForm()
    if not form.validate():
        return _new_page(form), 422
    try:
        made = products.create(account_id, mode == modes.LIVE, clock.now(), **form.members())
    except BillingError as refusal:
        return _new_page(form, form.refuse(refusal)), 422
    flash("The product is there. Give it a price, so that it can be sold.", "good")
    return redirect(account_url("show_product", product_id=made.id), 303)


@blueprint.get(f"{IN_MODE}/products/<product_id>")
@needs(Right.VIEW_SETTINGS)
def show_product(account_id: str, mode: str, product_id: str) -> str:
    """A product with its prices."""
    row = find(account_id, product_id)
    return product_page(row, ProductForm.of(row))


def product_page(
    row: Row[Any], form: ProductForm, refusal: str = "", price_id: str = "", price_form: CatalogForm | None = None
) -> str:
    """The page of a product. `price_form` is that of the price that was refused."""
    found = lists.listing(
        lambda place: price_rows.page(row.account_id, row.livemode, product_id=row.id, place=place),
        "show_product",
        product_id=row.id,
    )
    return render_template(
        "dashboard/catalog/product.html",
        product=row,
        state=wording.state(row.active),
        listing=found,
        prices=[wording.price(price, row.unit_label) for price in found.rows],
        form=form,
        refusal=refusal,
        wrong_price=price_id,
        price_form=price_form,
    )


@blueprint.post(f"{IN_MODE}/products/<product_id>")
@needs(Right.EDIT_SETTINGS)
def save_product(account_id: str, mode: str, product_id: str) -> Page:
    """Change what customers read of a product."""
    row, form = find(account_id, product_id), ProductForm()
    if not form.validate():
        return product_page(row, form), 422
    try:
        products.update(account_id, mode == modes.LIVE, product_id, clock.now(), **form.members())
    except BillingError as refusal:
        return product_page(row, form, form.refuse(refusal)), 422
    flash("Saved. Customers see it with their next click.", "good")
    return redirect(account_url("show_product", product_id=product_id), 303)


@blueprint.post(f"{IN_MODE}/products/<product_id>/activity")
@needs(Right.EDIT_SETTINGS)
def switch_product(account_id: str, mode: str, product_id: str) -> Page:
    """Archive a product, or bring it back."""
    wanted = request.form.get("active") == "yes"
    find(account_id, product_id)
    products.update(account_id, mode == modes.LIVE, product_id, clock.now(), active=wanted)
    flash(
        "It is offered again." if wanted else "It is archived: nobody is offered it, and who has it keeps it.", "good"
    )
    return redirect(account_url("show_product", product_id=product_id), 303)

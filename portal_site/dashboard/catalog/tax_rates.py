"""Tax rates: their list, with a form for a further one, and archiving one."""

from typing import Any

from flask import abort, flash, redirect, render_template, request
from wtforms import StringField
from wtforms.validators import Length

from portal_site import clock
from portal_site.billing.catalog import tax_rates
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, modes, needs
from portal_site.dashboard.catalog import lists, typed, wording
from portal_site.dashboard.catalog.coupon_forms import LONGEST_PERCENTAGE
from portal_site.dashboard.catalog.forms import CatalogForm
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.settings.sections import one_of
from portal_site.staff.roles import Right
from portal_site.web.input.forms import Required, checked_field, clean, text_field

Page = Any
HOW = (("added", "Added to prices"), ("included", "Included in prices"))


class TaxRateForm(CatalogForm):
    """A tax rate."""

    display_name = text_field("Name on invoices", tax_rates.LONGEST_NAME, True)
    percentage = StringField("Percentage", filters=[clean], validators=[Required(), Length(max=LONGEST_PERCENTAGE)])
    how = one_of("The tax is", HOW)
    jurisdiction = text_field("Jurisdiction", tax_rates.LONGEST_NAME)
    country = checked_field("Country", 2, False)
    state = checked_field("State", tax_rates.LONGEST_STATE, False)
    description = text_field("Note for your team", 500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.display_name.description = "Such as VAT."
        self.jurisdiction.description = "Printed beside the name, such as France."
        self.country.description = "Two letters, such as FR."
        self.state.description = "Its code without the country, such as NY."

    @classmethod
    def empty(cls) -> "TaxRateForm":
        """The form as it is first shown."""
        return cls(formdata=None, data={"how": "added"})


@blueprint.get(f"{IN_MODE}/tax-rates")
@needs(Right.VIEW_SETTINGS)
def show_tax_rates(account_id: str, mode: str) -> str:
    """The tax rates, newest first."""
    return _page(account_id, TaxRateForm.empty())


def _page(account_id: str, form: TaxRateForm, refusal: str = "") -> str:
    asked = lists.filters()
    found = lists.listing(
        lambda place: tax_rates.page(account_id, modes.is_live(), active=asked.active, text=asked.text, place=place),
        "show_tax_rates",
        **asked.values,
    )
    return render_template(
        "dashboard/catalog/tax_rates.html", listing=found, filters=asked, words=wording, form=form, refusal=refusal
    )


@blueprint.post(f"{IN_MODE}/tax-rates")
@needs(Right.EDIT_SETTINGS)
def create_tax_rate(account_id: str, mode: str) -> Page:
    """Create a tax rate."""
    form = TaxRateForm()
    if not form.validate():
        return _page(account_id, form), 422
    try:
        percentage = typed.percentage(form.percentage.data, "percentage")
        assert percentage is not None
        tax_rates.create(
            account_id, mode == modes.LIVE, clock.now(), display_name=form.display_name.data or "", percentage=percentage,
            inclusive=form.how.data == "included", description=form.description.data, country=form.country.data,
            state=form.state.data, jurisdiction=form.jurisdiction.data,
        )  # fmt: skip
    except BillingError as refusal:
        return _page(account_id, form, form.refuse(refusal)), 422
    flash("The tax rate is there.", "good")
    return redirect(account_url("show_tax_rates"), 303)


@blueprint.post(f"{IN_MODE}/tax-rates/<tax_rate_id>/activity")
@needs(Right.EDIT_SETTINGS)
def switch_tax_rate(account_id: str, mode: str, tax_rate_id: str) -> Page:
    """Archive a tax rate, or bring it back."""
    wanted = request.form.get("active") == "yes"
    try:
        tax_rates.update(account_id, mode == modes.LIVE, tax_rate_id, clock.now(), active=wanted)
    except NotFound:
        abort(404)
    flash("It can be chosen again." if wanted else "It is archived. Who pays it goes on paying it.", "good")
    return redirect(account_url("show_tax_rates"), 303)

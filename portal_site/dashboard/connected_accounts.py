"""A platform's connected accounts: their list, a further one, and who owns one. Each has a dashboard of its own."""

from typing import Any

from flask import abort, flash, redirect, render_template, request

from portal_site import clock
from portal_site.billing.accounts import accounts, connected
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import Account
from portal_site.dashboard import blueprint, forms, needs, place, user
from portal_site.dashboard.access import invitation_emails
from portal_site.dashboard.forms import BusinessForm
from portal_site.dashboard.navigation import account_url
from portal_site.staff import teams
from portal_site.staff.roles import Right, Role
from portal_site.web.input.forms import PortalForm, checked_field

Page = Any
CONNECTED = "/<account_id>/connected-accounts"


class OwnerForm(PortalForm):
    """Who is to own a connected account."""

    email = forms.email_field("Email of the owner")


class MoneyForm(PortalForm):
    """Who gets what is paid for a connected account."""

    provider_account = checked_field(
        "Stripe account", 100, False,
        description="Such as acct_…, connected to yours at Stripe: it receives what customers pay. Without one, you receive it.",
    )  # fmt: skip


@blueprint.get(CONNECTED)
@needs(Right.MANAGE_CONNECTED)
def show_connected_accounts(account_id: str) -> str:
    """The connected accounts, newest first, and the form for a further one."""
    return _list(account_id)


def _list(account_id: str, form: BusinessForm | None = None, refusal: str = "") -> str:
    if place().platform_id is not None:
        abort(404)
    found, more = connected.page(account_id, request.args.get("after"))
    return render_template(
        "dashboard/connected_accounts/index.html",
        accounts=found,
        more=more,
        is_first="after" not in request.args,
        form=form or BusinessForm(formdata=None),
        refusal=refusal,
        timezones=accounts.TIMEZONES,
    )


@blueprint.post(CONNECTED)
@needs(Right.MANAGE_CONNECTED, fresh=True)
def create_connected_account(account_id: str) -> Page:
    """Create a connected account, which has nobody yet."""
    form = BusinessForm()
    if not form.validate():
        return _list(account_id, form), 422
    try:
        made = connected.create(account_id, form.wanted, clock.now())
    except BillingError as refusal:
        return _list(account_id, form, forms.refuse(form, refusal)), 422
    flash("The account is there. Invite its owner next.", "good")
    return redirect(account_url("show_connected_account", connected_id=made.id), 303)


@blueprint.get(f"{CONNECTED}/<connected_id>")
@needs(Right.MANAGE_CONNECTED)
def show_connected_account(account_id: str, connected_id: str) -> str:
    """What customers see of an account, and who works for it."""
    return _page(_find(account_id, connected_id))


def _page(
    row: Account, form: OwnerForm | None = None, refusal: str = "", link: str = "", money_form: MoneyForm | None = None
) -> str:
    return render_template(
        "dashboard/connected_accounts/show.html",
        account=row,
        members=teams.members(row.id),
        invitations=teams.open_invitations(row.id, clock.now()),
        is_mine=user().place(row.id) is not None,
        form=form or OwnerForm(formdata=None),
        money_form=money_form or MoneyForm(formdata=None, provider_account=row.provider_account),
        refusal=refusal,
        link=link,
    )


@blueprint.post(f"{CONNECTED}/<connected_id>/owners")
@needs(Right.MANAGE_CONNECTED, fresh=True)
def invite_owner(account_id: str, connected_id: str) -> Page:
    """Invite somebody to own a connected account."""
    row, form, me = _find(account_id, connected_id), OwnerForm(), user()
    if not form.validate():
        return _page(row, form), 422
    try:
        made, link = invitation_emails.invite(
            row.id, form.email.data or "", Role.OWNER, me.user_id, me.name, clock.now()
        )
    except BillingError as refusal:
        return _page(row, form, forms.refuse(form, refusal)), 422
    if link:
        return _page(row, link=link)
    flash(f"The invitation is on its way to {made.email}.", "good")
    return redirect(account_url("show_connected_account", connected_id=row.id), 303)


@blueprint.post(f"{CONNECTED}/<connected_id>/money")
@needs(Right.MANAGE_CONNECTED, fresh=True)
def set_provider_account(account_id: str, connected_id: str) -> Page:
    """Say who gets what is paid for a connected account."""
    row, form = _find(account_id, connected_id), MoneyForm()
    if not form.validate():
        return _page(row, money_form=form), 422
    try:
        connected.set_provider_account(account_id, row.id, form.provider_account.data or None, clock.now())
    except BillingError as refusal:
        return _page(row, refusal=forms.refuse(form, refusal), money_form=form), 422
    flash("Saved. It counts for payments from now on.", "good")
    return redirect(account_url("show_connected_account", connected_id=row.id), 303)


def _find(account_id: str, connected_id: str) -> Account:
    try:
        return connected.get(account_id, connected_id)
    except NotFound:
        abort(404)

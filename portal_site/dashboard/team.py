"""An account's team: who is in it with which role, and who was invited."""

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import RadioField

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, forms, needs, place, user
from portal_site.dashboard.access import invitation_emails
from portal_site.staff import teams
from portal_site.staff.roles import DESCRIPTIONS, Right, Role
from portal_site.web.input.forms import PortalForm, Required, choices

Page = str | tuple[str, int]


class InviteForm(PortalForm):
    """Whom to invite, and as what."""

    email = forms.email_field()
    role = RadioField(
        "Role", choices=choices(((role.value, role.value.capitalize()) for role in Role), blank=False), validators=[Required()],
        default=Role.SUPPORT.value,
    )  # fmt: skip


@blueprint.get("/<account_id>/team")
@needs(Right.MANAGE_TEAM)
def show_team(account_id: str) -> str:
    """The team, the open invitations, and the form for a new one."""
    return _page(account_id, InviteForm(formdata=None))


def _page(account_id: str, form: InviteForm, refusal: str = "", link: str = "") -> str:
    return render_template(
        "dashboard/team/index.html",
        members=teams.members(account_id),
        invitations=teams.open_invitations(account_id, clock.now()),
        form=form,
        refusal=refusal,
        link=link,
        descriptions=DESCRIPTIONS,
        roles=list(Role),
    )


@blueprint.post("/<account_id>/team/invitations")
@needs(Right.MANAGE_TEAM, fresh=True)
def invite_member(account_id: str) -> Any:
    """Invite somebody. The link is mailed; without a mail server it is shown once, to be handed over."""
    form, at = InviteForm(), clock.now()
    if not form.validate():
        return _page(account_id, form), 422
    try:
        made, link = invitation_emails.invite(
            account_id, form.email.data or "", Role(form.role.data), user().user_id, user().name, at
        )
    except BillingError as refusal:
        return _page(account_id, form, forms.refuse(form, refusal)), 422
    if not link:
        return _done(account_id, f"The invitation is on its way to {made.email}.")
    return _page(account_id, InviteForm(formdata=None), link=link)


@blueprint.post("/<account_id>/team/invitations/<invitation_id>/removal")
@needs(Right.MANAGE_TEAM, fresh=True)
def withdraw_invitation(account_id: str, invitation_id: str) -> Response:
    """Take an invitation back."""
    try:
        withdrawn = teams.withdraw(account_id, invitation_id, clock.now())
    except NotFound:
        abort(404)
    return _done(account_id, f"The invitation for {withdrawn.email} was revoked.")


@blueprint.post("/<account_id>/team/<user_id>/role")
@needs(Right.MANAGE_TEAM, fresh=True)
def change_role(account_id: str, user_id: str) -> Any:
    """Give a member another role."""
    try:
        role = Role(request.form.get("role", ""))
    except ValueError:
        return _page(account_id, InviteForm(formdata=None), "Choose a role."), 422
    return _changed(
        account_id, "The role is changed.", lambda: teams.change_role(account_id, user_id, role, clock.now())
    )


@blueprint.post("/<account_id>/team/<user_id>/removal")
@needs(Right.MANAGE_TEAM, fresh=True)
def remove_member(account_id: str, user_id: str) -> Any:
    """Take somebody out of the team."""
    return _changed(
        account_id, f"This person no longer has access to {place().business_name}.",
        lambda: teams.remove(account_id, user_id, clock.now()),
    )  # fmt: skip


@blueprint.post("/<account_id>/team/<user_id>/second-step/removal")
@needs(Right.MANAGE_TEAM, fresh=True)
def reset_second_step(account_id: str, user_id: str) -> Any:
    """Let a member who has lost phone or passkeys set up a new second step."""
    return _changed(
        account_id, "Two-step verification is set up anew at the next sign-in.",
        lambda: teams.reset_second_step(account_id, user_id, clock.now()),
    )  # fmt: skip


def _changed(account_id: str, words: str, change: Any) -> Any:
    try:
        change()
    except NotFound:
        abort(404)
    except BillingError as refusal:
        return _page(account_id, InviteForm(formdata=None), str(refusal)), 422
    return _done(account_id, words)


def _done(account_id: str, words: str) -> Response:
    flash(words, "good")
    return redirect(url_for("dashboard.show_team", account_id=account_id), 303)

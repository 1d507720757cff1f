"""The sandbox's pages, as a provider would host them: entering a payment method, and 3-D Secure authentication.

Anybody who has a page's reference can open it, as with a provider's link. A number that is entered is only looked up among
the test numbers: it is not stored, not logged, and not returned when the form is shown again.
"""

import re
import time

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from portal_site.billing.gateways.sandbox import test_numbers
from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxMethod, SandboxSetup
from portal_site.billing.gateways.sandbox.test_numbers import Behaviour
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.web.rendering import filters

CARD, SEPA_DEBIT = "card", "sepa_debit"
blueprint = Blueprint("sandbox", __name__, url_prefix="/sandbox")
EXPIRY = re.compile(r"\s*(0?[1-9]|1[0-2])\s*/\s*(?:20)?(\d\d)\s*")
REFUSALS = {
    "card_declined": N_("Your card was declined. Try another one."),
    "insufficient_funds": N_("Your card has insufficient funds. Try another one."),
    "expired_card": N_("Your card has expired. Try another one."),
    "incorrect_cvc": N_("Your card’s security code is incorrect."),
}
REFUSED_BY = {"requires_action": "authentication_not_handled", "processing": "insufficient_funds"}


@blueprint.get("/setups/<reference>")
def show_setup(reference: str) -> str:
    """The form for a card or a bank account."""
    with transaction() as session:
        setup = _setup(session, reference)
    return _setup_page(setup, {})


@blueprint.post("/setups/<reference>")
def submit_setup(reference: str) -> Response | tuple[str, int]:
    """Look up the number, and accept, refuse or request authentication as the test number defines."""
    kind = request.form.get("kind", "card")
    behaviour = test_numbers.find(request.form.get("iban" if kind == "iban" else "number", "")[:50])
    errors, expiry = _faults(kind, behaviour)
    with transaction() as session:
        setup = _setup(session, reference)
        return_url = setup.return_url
        if setup.method_type not in (None, behaviour.type if behaviour else None):
            errors = {
                "iban" if kind == "iban" else "number": _("This sandbox takes only the test numbers listed below.")
            }
        if not errors and behaviour is not None:
            method = _method(behaviour, request.form, expiry)
            session.add(method)
            setup.method_reference, setup.failed = method.reference, False
    if errors:
        return _setup_page(setup, errors), 422
    if behaviour is not None and behaviour.setup == "authenticate":
        return redirect(url_for("sandbox.show_setup_challenge", reference=reference), 303)
    return redirect(return_url, 303)


def _faults(kind: str, behaviour: Behaviour | None) -> tuple[dict[str, str], tuple[int, int] | None]:
    expected_type = SEPA_DEBIT if kind == "iban" else CARD
    if behaviour is None or behaviour.type != expected_type:
        return {
            "iban" if kind == "iban" else "number": _("This sandbox takes only the test numbers listed below.")
        }, None
    if kind == "iban":
        return {}, None
    errors = {}
    expiry = _expiry(request.form.get("expiry", ""))
    if expiry is None:
        errors["expiry"] = _("Enter a month and a year that are not over, such as 12/34.")
    if not re.fullmatch(r"[0-9]{3,4}", request.form.get("cvc", "").strip()):
        errors["cvc"] = _("Enter the three or four digits of the security code.")
    if behaviour.setup in REFUSALS and not errors:
        errors["number"] = _(REFUSALS[behaviour.setup])
    return errors, expiry


def _expiry(text: str) -> tuple[int, int] | None:
    match = EXPIRY.fullmatch(text[:20])
    if not match:
        return None
    month, year = int(match[1]), 2000 + int(match[2])
    today = time.gmtime()
    return (month, year) if (year, month) >= (today.tm_year, today.tm_mon) else None


def _method(behaviour: Behaviour, form: dict[str, str], expiry: tuple[int, int] | None) -> SandboxMethod:
    typed = "".join(c for c in form.get("iban" if expiry is None else "number", "") if c.isalnum())
    if behaviour.expiring:
        expiry = (time.gmtime().tm_mon, time.gmtime().tm_year)
    return SandboxMethod(
        reference=new_id("sbxm"),
        type=behaviour.type,
        brand=behaviour.brand or None,
        last4=typed[-4:],
        exp_month=expiry[0] if expiry else None,
        exp_year=expiry[1] if expiry else None,
        country=behaviour.country,
        fingerprint=f"{behaviour.type}-{behaviour.brand}-{typed[-4:]}",
        on_charge=behaviour.charge,
        confirmed=behaviour.setup != "authenticate",
    )


@blueprint.get("/setups/<reference>/challenge")
def show_setup_challenge(reference: str) -> str:
    """The authentication page for a new card."""
    with transaction() as session:
        _setup(session, reference)
    return render_template("sandbox/challenge.html", action=url_for("sandbox.answer_setup", reference=reference))


@blueprint.post("/setups/<reference>/challenge")
def answer_setup(reference: str) -> Response:
    """Confirm the card, or discard it if the authentication failed."""
    with transaction() as session:
        setup = _setup(session, reference)
        method = session.get(SandboxMethod, setup.method_reference) if setup.method_reference else None
        if method is not None and not method.confirmed:
            if request.form.get("answer") == "complete":
                method.confirmed = True
            else:
                setup.method_reference, setup.failed = None, True
        return_url = setup.return_url
    return redirect(return_url, 303)


@blueprint.get("/charges/<reference>/challenge")
def show_challenge(reference: str) -> str:
    """The page for authenticating a payment, or for settling a debit that is processing."""
    with transaction() as session:
        charge = _charge(session, reference)
    amount = filters.money(charge.amount, charge.currency)
    page = "sandbox/debit.html" if charge.status == "processing" else "sandbox/challenge.html"
    return render_template(page, action=url_for("sandbox.answer_charge", reference=reference), amount=amount)


@blueprint.post("/charges/<reference>/challenge")
def answer_charge(reference: str) -> Response:
    """Complete or decline the payment. Only the first answer counts."""
    with transaction() as session:
        charge = _charge(session, reference)
        if charge.status in REFUSED_BY:
            complete = request.form.get("answer") == "complete"
            charge.decline_code = None if complete else REFUSED_BY[charge.status]
            charge.status = "succeeded" if complete else "declined"
        return_url = charge.return_url
    return redirect(return_url, 303)


def _setup(session: Session, reference: str) -> SandboxSetup:
    return session.get(SandboxSetup, reference, with_for_update=True) or abort(404)


def _charge(session: Session, reference: str) -> SandboxCharge:
    query = select(SandboxCharge).where(SandboxCharge.reference == reference).with_for_update()
    return session.scalar(query) or abort(404)


def _setup_page(setup: SandboxSetup, errors: dict[str, str]) -> str:
    return render_template(
        "sandbox/setup.html", reference=setup.reference, errors=errors, kind=request.form.get("kind", "card"),
        cards=test_numbers.CARDS if setup.method_type != SEPA_DEBIT else {},
        ibans=test_numbers.IBANS if setup.method_type != CARD else {}, return_url=setup.cancel_url or setup.return_url,
    )  # fmt: skip

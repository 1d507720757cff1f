"""What these routes share: they are for test keys, and each that writes has idempotency keys."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, g

from portal_site.api import answers, fields, lists, routes
from portal_site.api.answers import ApiError
from portal_site.api.expansion import objects
from portal_site.api.expansion.paths import Tree
from portal_site.api.idempotency import idempotent
from portal_site.billing.direct_payments.owned import Owner
from portal_site.billing.gateways import MethodToken
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Customer
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading
from portal_site.web import addresses

View = Callable[..., Response]


def route(method: str, path: str, right: str, level: str) -> Callable[[View], View]:
    """A route below /v1 as `api.routes.route` makes it, for test keys only. A POST may have an idempotency key."""

    def register(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Response:
            fields.refuse_live()
            return view(*args, **kwargs)

        return routes.route(method, path, right, level)(idempotent(checked) if method == "POST" else checked)

    return register


def owner() -> Owner:
    """Whose rows the request works with."""
    return Owner(g.caller.account_id, g.caller.livemode)


def gateways() -> Gateways:
    """The payment providers that are installed."""
    found: Gateways = current_app.extensions["gateways"]
    return found


def shown(kind: str, tree: Tree, row: Any) -> JsonObject:
    """The row as an object of this kind, with what is to be expanded."""
    return objects.of(kind, tree, [row])[0]


def answer(kind: str, tree: Tree, row: Any) -> Response:
    """The row as the answer."""
    return answers.json(shown(kind, tree, row))


def return_page(noun: str) -> Callable[[str], str]:
    """The page to which customers return from the provider, for the id of what they did there."""
    return lambda name: addresses.base("returns.show", noun=noun, name=name)


def check_customer(name: str | None) -> None:
    """Raise ApiError if a filter names a customer that is not there."""
    if name is not None and lists.one(Customer, name) is None:
        raise answers.missing("customer", name, "customer", 400)


def token(kind: str, card: fields.Token | None, iban: fields.Iban | None) -> MethodToken:
    """The test token of a new payment method. Raises ApiError without one."""
    if kind == "sepa_debit":
        if iban is None:
            raise ApiError(400, "Missing required param: sepa_debit.", "parameter_missing", "sepa_debit")
        return MethodToken(kind, iban.iban)
    name = (card.token or card.number) if card is not None else None
    if card is None or name is None:
        raise ApiError(400, "Missing required param: card.", "parameter_missing", "card")
    return MethodToken(kind, name, card.exp_month, card.exp_year)


def check_path(customer_id: str) -> None:
    """Raise ApiError unless the customer of the path is there."""
    with reading() as connection:
        query = lists.rows_of(Customer).where(
            Customer.id == customer_id.replace("\0", ""), Customer.deleted_at.is_(None)
        )
        if connection.execute(query).first() is None:
            raise answers.missing("customer", customer_id, "customer")

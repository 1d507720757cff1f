"""`POST /v1/billing_portal/sessions`: the link that a merchant's program makes for a customer."""

from dataclasses import replace
from typing import Annotated, ClassVar

from flask import Response, g
from pydantic import Field

from portal_site.api import answers, parameters
from portal_site.api.answers import ApiError
from portal_site.api.expansion import objects
from portal_site.api.idempotency import idempotent
from portal_site.api.parameters import Filled, Hash, Parameters, Text, Whole
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import WRITE
from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.resources import portal
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.billing.rules.portal.locales import LOCALES
from portal_site.db.json_columns import JsonObject
from portal_site.web import addresses

KIND = "session"


class _Confirmation(Hash):
    custom_message: Annotated[Text, parameters.longest(flows.LONGEST_MESSAGE)] = None


class _Redirect(Hash):
    return_url: Filled


class _Completion(Hash):
    type: Annotated[str, parameters.choice(*flows.ENDINGS)]
    hosted_confirmation: _Confirmation | None = None
    redirect: _Redirect | None = None


class _CouponOffer(Hash):
    coupon: Filled


class _Retention(Hash):
    type: Annotated[str, parameters.choice("coupon_offer")]
    coupon_offer: _CouponOffer


class _Part(Hash):
    subscription: Filled


class _Cancellation(_Part):
    retention: _Retention | None = None


class _Item(Hash):
    id: Filled
    price: Text = None
    quantity: Whole | None = None


class _Discount(Hash):
    coupon: Text = None
    promotion_code: Text = None


class _Confirm(_Part):
    items: Annotated[list[_Item], parameters.SEQUENCE]
    discounts: Annotated[list[_Discount], parameters.SEQUENCE] = Field(default_factory=list)


class _FlowData(Hash):
    type: Annotated[str, parameters.choice(*flows.TYPES)]
    after_completion: _Completion | None = None
    subscription_cancel: _Cancellation | None = None
    subscription_pause: _Part | None = None
    subscription_update: _Part | None = None
    subscription_update_confirm: _Confirm | None = None


class _CustomerLogin(Hash):
    expires_at: Whole | None = None


class _AfterExpiration(Hash):
    type: Annotated[str, parameters.choice("customer_login")]
    customer_login: _CustomerLogin | None = None


class _New(Parameters):
    KIND: ClassVar[str] = KIND
    customer: Filled
    after_expiration: _AfterExpiration | None = None
    configuration: Text = None
    flow_data: _FlowData | None = None
    locale: Annotated[str | None, parameters.choice(*sorted(LOCALES))] = None
    on_behalf_of: Text = None
    return_url: Text = None


@route("POST", "/billing_portal/sessions", "customer_portal", WRITE)
@idempotent
def create_portal_session() -> Response:
    """Create a session. Its URL works for five minutes, and is in this answer only."""
    wanted = parameters.read(_New)
    if "@" in wanted.customer:  # the engine would take an e-mail address too
        raise answers.missing("customer", wanted.customer, "customer", 400)
    opened = portal_sessions.open_session(
        wanted.customer,
        g.now,
        account_id=g.caller.account_id,
        livemode=g.caller.livemode,
        configuration_id=wanted.configuration,
        on_behalf_of=wanted.on_behalf_of,
        return_url=wanted.return_url,
        locale=wanted.locale,
        flow=_flow(wanted.flow_data) if wanted.flow_data else None,
        after_expiration=_after_expiration(wanted.after_expiration),
    )
    made = portal.session(opened.row)
    made["url"] = addresses.of(opened.row.account_id, "sessions.follow_link", token=opened.token)
    objects.expand(KIND, wanted.expanded, [made])
    return answers.json(made)


def _after_expiration(given: _AfterExpiration | None) -> JsonObject | None:
    """The hash as it is stored. Raises ApiError for a last moment that is over."""
    if given is None:
        return None
    last = given.customer_login.expires_at if given.customer_login else None
    if last is not None and last <= g.now:
        param = "after_expiration[customer_login][expires_at]"
        raise ApiError(400, f"{param} must be in the future.", None, param)
    return {"type": given.type, "customer_login": {"expires_at": last}}


def _flow(given: _FlowData) -> Flow:
    """The flow that is asked for. Raises ApiError for hashes that do not fit its type."""
    of_type = getattr(given, given.type, None)
    others = {name for name in flows.OF_SUBSCRIPTIONS - {given.type} if getattr(given, name) is not None}
    if others:
        name = f"flow_data[{min(others)}]"
        raise ApiError(400, f"{name} can only be used with `flow_data[type]` of the same name.", None, name)
    if given.type in flows.OF_SUBSCRIPTIONS and of_type is None:
        raise parameters.missing(f"flow_data[{given.type}]")
    flow = Flow(given.type, _completion(given.after_completion), of_type.subscription if of_type else None)
    if isinstance(of_type, _Cancellation) and of_type.retention:
        return replace(flow, retention_coupon=of_type.retention.coupon_offer.coupon)
    if isinstance(of_type, _Confirm):
        return _with_items(flow, of_type)
    return flow


def _completion(given: _Completion | None) -> Completion:
    part = "flow_data[after_completion]"
    if given is None:
        return Completion()
    if given.redirect is None and given.type == flows.REDIRECT:
        raise parameters.missing(f"{part}[redirect]")
    for name, hash_ in ((flows.HOSTED_CONFIRMATION, given.hosted_confirmation), (flows.REDIRECT, given.redirect)):
        if hash_ is not None and given.type != name:
            raise ApiError(400, f"{part}[{name}] can only be used with `{part}[type]` of the same name.", None, part)
    message = given.hosted_confirmation.custom_message if given.hosted_confirmation else None
    return Completion(given.type, message, given.redirect.return_url if given.redirect else None)


def _with_items(flow: Flow, given: _Confirm) -> Flow:
    part = f"flow_data[{flow.type}]"
    if len(given.items) != 1:
        raise ApiError(400, f"{part}[items] takes exactly one item.", None, f"{part}[items]")
    if len(given.discounts) > 1 or any(bool(one.coupon) == bool(one.promotion_code) for one in given.discounts):
        raise ApiError(
            400, f"{part}[discounts] takes one discount: a coupon or a promotion code.", None, f"{part}[discounts]"
        )
    items = tuple(WantedItem(item.id, item.price, item.quantity) for item in given.items)
    if any(item.quantity is not None and item.quantity < 0 for item in items):
        raise ApiError(400, "Invalid non-negative integer", "parameter_invalid_integer", f"{part}[items][0][quantity]")
    discount = next(iter(given.discounts), _Discount())
    return replace(flow, items=items, coupon=discount.coupon, promotion_code=discount.promotion_code)

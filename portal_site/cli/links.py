"""`portal link`, `portal login-page` and `portal cancellation-page`: how customers come in, or leave without."""

from collections.abc import Callable
from typing import Any

import click
from flask import Flask

from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail

HOME = "home"
_ONLY = {  # the types of flows that an option is for
    "subscription": flows.OF_SUBSCRIPTIONS,
    "item": {flows.SUBSCRIPTION_UPDATE_CONFIRM},
    "price": {flows.SUBSCRIPTION_UPDATE_CONFIRM},
    "quantity": {flows.SUBSCRIPTION_UPDATE_CONFIRM},
    "coupon": {flows.SUBSCRIPTION_CANCEL, flows.SUBSCRIPTION_UPDATE_CONFIRM},
    "promotion_code": {flows.SUBSCRIPTION_UPDATE_CONFIRM},
    "then": set(flows.TYPES),
    "message": set(flows.TYPES),
}
_OPTIONS = (
    click.option("--flow", "type_", type=click.Choice(flows.TYPES), help="Lead to one thing only, of this type."),
    click.option("--subscription", help="With --flow: the subscription that it is for."),
    click.option("--item", help="To confirm: the item that changes."),
    click.option("--price", help="To confirm: its new price; the same otherwise."),
    click.option("--quantity", type=click.IntRange(min=0), help="To confirm: its new quantity; the same otherwise."),
    click.option("--coupon", help="To confirm: a discount. To cancel: offered to who wants to leave."),
    click.option("--promotion-code", help="To confirm: the id of a promotion code that is applied."),
    click.option("--then", help="What follows: home for the overview, or a URL; a confirmation otherwise."),
    click.option("--message", help="The text of the confirmation."),
)


def _flow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.option("--customer", required=True, help="Id or e-mail address.")
@click.option("--configuration", help="Id of a portal configuration; the default one otherwise.")
@click.option("--return-url", help="Where «Return to …» leads.")
@click.option("--to", help="The page it leads to, such as /invoices; the overview otherwise.")
@click.option("--locale", help="Language of the portal, such as fr; the customer's own otherwise.")
@click.option("--for-email", is_flag=True, help="With --flow: a link for an e-mail, which works for weeks.")
@click.option("--account", "account_id", help="The account; needed when several have such a customer.")
@_flow_options
@with_app
def link(
    _app: Flask,
    customer: str,
    configuration: str | None,
    return_url: str | None,
    to: str | None,
    locale: str | None,
    for_email: bool,
    account_id: str | None,
    **flow_options: Any,
) -> None:
    """Print a link to a customer's portal. It works for five minutes; one for an e-mail works for weeks."""
    from portal_site import clock
    from portal_site.billing.portal_access import portal_sessions
    from portal_site.billing.portal_access.email_links import Purpose
    from portal_site.mail import links
    from portal_site.web import addresses, urls

    there = f"{urls.root()}{to}" if to is not None else None
    if there is not None and urls.page(there, "portal") is None:
        fail("--to must be a page of the portal's, such as /invoices.")
    if for_email and (flow_options["type_"] is None or to is not None):
        fail("--for-email goes with --flow, and leads to that only.")
    opened = portal_sessions.open_session(
        customer,
        clock.now(),
        account_id=account_id,
        configuration_id=configuration,
        return_url=return_url,
        locale=locale,
        flow=_flow(**flow_options),
    )
    if for_email:
        row = opened.row
        click.echo(
            links.address(row.account_id, Purpose.FLOW, row.customer_id, opened.customer_email, opened.id, row.created)
        )
    else:
        click.echo(addresses.of(opened.row.account_id, "sessions.follow_link", token=opened.token, to=there))


@click.command("login-page")
@click.argument("configuration")
@click.option("--close", is_flag=True, help="Close it: its URL leads nowhere any more.")
@click.option("--new-url", is_flag=True, help="Give it another URL: the old one leads nowhere any more.")
@click.option("--remember/--forget", default=None, help="Whether customers may stay logged in on their devices.")
@with_app
def login_page(_app: Flask, configuration: str, close: bool, new_url: bool, remember: bool | None) -> None:
    """Open a configuration's login page, where customers get a code by e-mail, and print its URL."""
    from portal_site import clock
    from portal_site.billing.portal_access import logins
    from portal_site.web import addresses

    page_id = logins.set_page(
        configuration, enabled=not close, new_url=new_url, at=clock.now(), remembers_devices=remember
    )
    if page_id is not None:
        page = logins.find_page(page_id)  # an inactive configuration has none, wherever its URL leads
        click.echo(addresses.of(page.account_id if page else "", "logins.show_login", login_page_id=page_id))


@click.command("cancellation-page")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@click.option("--close", is_flag=True, help="Close it: its URL leads nowhere any more.")
@click.option("--new-url", is_flag=True, help="Give it another URL: the old one leads nowhere any more.")
@with_app
def cancellation_page(_app: Flask, account_id: str | None, close: bool, new_url: bool) -> None:
    """Open an account's page where customers cancel without logging in, and print its URL."""
    from portal_site import clock as clocks
    from portal_site.billing.cancellation import requests
    from portal_site.web import addresses

    page_id = requests.set_page(account_id, enabled=not close, new_url=new_url, at=clocks.now())
    if page_id is not None:
        click.echo(addresses.of(requests.find_page(page_id) or "", "cancellation_requests.show_form", page_id=page_id))


def _flow(type_: str | None, **given: Any) -> Flow | None:
    """The flow that the options describe. An option that does not fit its type ends the command."""
    for name, value in given.items():
        if value is not None and type_ not in _ONLY[name]:
            fail(f"--{name.replace('_', '-')} goes with --flow {' or '.join(sorted(_ONLY[name]))}.")
    if type_ is None:
        return None
    if type_ in flows.OF_SUBSCRIPTIONS and given["subscription"] is None:
        fail(f"--flow {type_} needs --subscription.")
    if type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM and given["item"] is None:
        fail(f"--flow {type_} needs --item, and what becomes of it.")
    if given["then"] is not None and given["message"] is not None:
        fail("--message is the text of the confirmation, which --then replaces.")
    is_cancellation = type_ == flows.SUBSCRIPTION_CANCEL
    return Flow(
        type_,
        _completion(given["then"], given["message"]),
        given["subscription"],
        (WantedItem(given["item"], given["price"], given["quantity"]),) if given["item"] else (),
        coupon=None if is_cancellation else given["coupon"],
        promotion_code=given["promotion_code"],
        retention_coupon=given["coupon"] if is_cancellation else None,
    )


def _completion(then: str | None, message: str | None) -> Completion:
    if message is not None and len(message) > flows.LONGEST_MESSAGE:
        fail(f"--message may have up to {flows.LONGEST_MESSAGE} characters.")
    if then is None:
        return Completion(flows.HOSTED_CONFIRMATION, message)
    return Completion(flows.PORTAL_HOMEPAGE) if then == HOME else Completion(flows.REDIRECT, return_url=then)

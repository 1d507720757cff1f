"""Each route of the dashboard: how one knocks on it, which right it needs, and how it answers whoever has that."""

from dataclasses import dataclass

from portal_site.staff.roles import Right
from tests.dashboard.counter import COUPON, PRICE, START

EVERYBODY = "everybody who is signed in"


@dataclass(frozen=True)
class Route:
    """A route as one knocks on it. `{account}` and the like are of the account that is knocked on."""

    method: str
    address: str
    right: Right | str
    data: tuple[tuple[str, str], ...] = ()
    ok: tuple[int, ...] = (200,)


DONE, REFUSED = (303,), (422,)
ONCE = (303, 404)  # what another role has done already
OF = "/{account}/test"
CATALOGUE = {
    "dashboard.show_products": Route("GET", f"{OF}/products", Right.VIEW_SETTINGS),
    "dashboard.show_new_product": Route("GET", f"{OF}/products/new", Right.EDIT_SETTINGS),
    "dashboard.create_product": Route("POST", f"{OF}/products", Right.EDIT_SETTINGS, (("name", "Team"),), DONE),
    "dashboard.show_product": Route("GET", f"{OF}/products/{{product}}", Right.VIEW_SETTINGS),
    "dashboard.save_product": Route(
        "POST", f"{OF}/products/{{product}}", Right.EDIT_SETTINGS, (("name", "Teams"),), DONE
    ),
    "dashboard.switch_product": Route("POST", f"{OF}/products/{{product}}/activity", Right.EDIT_SETTINGS, ok=DONE),
    "dashboard.show_new_price": Route("GET", f"{OF}/products/{{product}}/prices/new", Right.EDIT_SETTINGS),
    "dashboard.create_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/new", Right.EDIT_SETTINGS, tuple(PRICE.items()), DONE
    ),
    "dashboard.preview_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/preview", Right.EDIT_SETTINGS, tuple(PRICE.items())
    ),
    "dashboard.save_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/{{price}}", Right.EDIT_SETTINGS, (("nickname", "Usual"),), DONE
    ),
    "dashboard.switch_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/{{price}}/activity", Right.EDIT_SETTINGS, ok=DONE
    ),
    "dashboard.show_coupons": Route("GET", f"{OF}/coupons", Right.VIEW_SETTINGS),
    "dashboard.show_new_coupon": Route("GET", f"{OF}/coupons/new", Right.EDIT_SETTINGS),
    "dashboard.create_coupon": Route("POST", f"{OF}/coupons", Right.EDIT_SETTINGS, tuple(COUPON.items()), DONE),
    "dashboard.show_coupon": Route("GET", f"{OF}/coupons/{{coupon}}", Right.VIEW_SETTINGS),
    "dashboard.save_coupon": Route("POST", f"{OF}/coupons/{{coupon}}", Right.EDIT_SETTINGS, (("name", "Ten"),), DONE),
    "dashboard.ask_to_delete_coupon": Route("GET", f"{OF}/coupons/{{coupon}}/deletion", Right.EDIT_SETTINGS),
    "dashboard.delete_coupon": Route("POST", f"{OF}/coupons/{{coupon}}/deletion", Right.EDIT_SETTINGS, ok=ONCE),
    "dashboard.create_promotion_code": Route(
        "POST", f"{OF}/coupons/{{coupon}}/codes", Right.EDIT_SETTINGS, (("currency", "eur"),), DONE
    ),
    "dashboard.switch_promotion_code": Route(
        "POST", f"{OF}/coupons/{{coupon}}/codes/{{code}}/activity", Right.EDIT_SETTINGS, ok=DONE
    ),
    "dashboard.show_tax_rates": Route("GET", f"{OF}/tax-rates", Right.VIEW_SETTINGS),
    "dashboard.create_tax_rate": Route(
        "POST", f"{OF}/tax-rates", Right.EDIT_SETTINGS, (("display_name", "VAT"), ("percentage", "20"), ("how", "added")), DONE
    ),
    "dashboard.switch_tax_rate": Route("POST", f"{OF}/tax-rates/{{tax_rate}}/activity", Right.EDIT_SETTINGS, ok=DONE),
}  # fmt: skip
KEYS = {
    "dashboard.show_api_keys": Route("GET", f"{OF}/api-keys", Right.MANAGE_KEYS),
    "dashboard.create_api_key": Route("POST", f"{OF}/api-keys", Right.MANAGE_KEYS, (("kind", "secret"),)),
    "dashboard.roll_api_key": Route(
        "POST", f"{OF}/api-keys/{{key}}/replacement", Right.MANAGE_KEYS, (("kept", "3600"),)
    ),
    "dashboard.ask_to_revoke_api_key": Route("GET", f"{OF}/api-keys/{{key}}/end", Right.MANAGE_KEYS),
    "dashboard.revoke_api_key": Route("POST", f"{OF}/api-keys/{{key}}/end", Right.MANAGE_KEYS, ok=(303, 422)),
}
HOOK = (("url", "https://shop.example/hook"), ("events", "invoice.paid"))
WEBHOOKS = {
    "dashboard.show_webhook_endpoints": Route("GET", f"{OF}/webhooks", Right.MANAGE_KEYS),
    "dashboard.create_webhook_endpoint": Route("POST", f"{OF}/webhooks", Right.MANAGE_KEYS, HOOK),
    "dashboard.show_webhook_endpoint": Route("GET", f"{OF}/webhooks/{{hook}}", Right.MANAGE_KEYS),
    "dashboard.save_webhook_endpoint": Route("POST", f"{OF}/webhooks/{{hook}}", Right.MANAGE_KEYS, HOOK, DONE),
    "dashboard.switch_webhook_endpoint": Route(
        "POST", f"{OF}/webhooks/{{hook}}/activity", Right.MANAGE_KEYS, (("enabled", "yes"),), DONE
    ),
    "dashboard.roll_webhook_secret": Route("POST", f"{OF}/webhooks/{{hook}}/secret", Right.MANAGE_KEYS),
    "dashboard.resend_event": Route("POST", f"{OF}/webhooks/{{hook}}/deliveries/{{event}}", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.ask_to_delete_webhook_endpoint": Route("GET", f"{OF}/webhooks/{{hook}}/end", Right.MANAGE_KEYS),
    "dashboard.delete_webhook_endpoint": Route("POST", f"{OF}/webhooks/{{hook}}/end", Right.MANAGE_KEYS, ok=ONCE),
}
SECOND_STEPS = {
    "dashboard.prove_with_passkey": Route("POST", "/proof/passkey", EVERYBODY, ok=REFUSED),
    "dashboard.show_new_passkey": Route("GET", "/profile/passkeys/new", EVERYBODY),
    "dashboard.add_passkey": Route("POST", "/profile/passkeys", EVERYBODY, (("name", "Phone"),), REFUSED),
    "dashboard.remove_passkey": Route("POST", "/profile/passkeys/pkey_none/removal", EVERYBODY, ok=(404,)),
    "dashboard.show_app_setup": Route("GET", "/profile/app", EVERYBODY, ok=DONE),
    "dashboard.set_up_app": Route("POST", "/profile/app", EVERYBODY, ok=REFUSED),
    "dashboard.remove_app": Route("POST", "/profile/app/removal", EVERYBODY, ok=REFUSED),
}
ROUTES = {
    "dashboard.show_accounts": Route("GET", "", EVERYBODY, ok=(200, 303)),
    "dashboard.ask_for_proof": Route("GET", "/proof", EVERYBODY),
    "dashboard.prove": Route("POST", "/proof", EVERYBODY, ok=REFUSED),
    "dashboard.show_profile": Route("GET", "/profile", EVERYBODY),
    "dashboard.change_password": Route("POST", "/profile/password", EVERYBODY, ok=REFUSED),
    "dashboard.replace_recovery_codes": Route("POST", "/profile/recovery-codes", EVERYBODY, ok=REFUSED),
    "dashboard.end_other_sessions": Route("POST", "/profile/sessions/removal", EVERYBODY, ok=DONE),
    "dashboard.end_session": Route("POST", "/profile/sessions/uses_none/removal", EVERYBODY, ok=DONE),
    "dashboard.show_home": Route("GET", "/{account}", Right.VIEW_SETTINGS),
    "dashboard.show_gateway": Route("GET", f"{OF}/gateway", Right.MANAGE_KEYS),
    "dashboard.connect_gateway": Route("POST", f"{OF}/gateway", Right.MANAGE_KEYS, (("key", "pk_test_x"),), REFUSED),
    "dashboard.check_gateway": Route("POST", f"{OF}/gateway/check", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.receive_gateway_events": Route("POST", f"{OF}/gateway/events", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.ask_to_disconnect_gateway": Route("GET", f"{OF}/gateway/end", Right.MANAGE_KEYS, ok=(200, 303)),
    "dashboard.disconnect_gateway": Route("POST", f"{OF}/gateway/end", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.show_domain": Route("GET", "/{account}/domain", Right.MANAGE_DOMAIN),
    "dashboard.set_domain": Route(
        "POST", "/{account}/domain", Right.MANAGE_DOMAIN, (("host", "billing.acme.example"),), DONE
    ),
    "dashboard.check_domain": Route("POST", "/{account}/domain/check", Right.MANAGE_DOMAIN, ok=DONE),
    "dashboard.ask_to_remove_domain": Route("GET", "/{account}/domain/removal", Right.MANAGE_DOMAIN, ok=(200, 303)),
    "dashboard.remove_domain": Route("POST", "/{account}/domain/removal", Right.MANAGE_DOMAIN, ok=DONE),
    "dashboard.show_connected_accounts": Route("GET", "/{account}/connected-accounts", Right.MANAGE_CONNECTED),
    "dashboard.create_connected_account": Route(
        "POST", "/{account}/connected-accounts", Right.MANAGE_CONNECTED,
        (("business_name", "Shop"), ("country", "FR"), ("currency", "eur"), ("timezone", "UTC")), DONE,
    ),
    "dashboard.show_connected_account": Route(
        "GET", "/{account}/connected-accounts/{connected}", Right.MANAGE_CONNECTED
    ),
    "dashboard.set_provider_account": Route(
        "POST", "/{account}/connected-accounts/{connected}/money", Right.MANAGE_CONNECTED,
        (("provider_account", "acct_1"),), DONE,
    ),
    "dashboard.invite_owner": Route(
        "POST", "/{account}/connected-accounts/{connected}/owners", Right.MANAGE_CONNECTED, (("email", "own@x.example"),)
    ),
    "dashboard.show_team": Route("GET", "/{account}/team", Right.MANAGE_TEAM),
    "dashboard.invite_member": Route(
        "POST", "/{account}/team/invitations", Right.MANAGE_TEAM, (("email", "new@x.example"), ("role", "admin"))
    ),
    "dashboard.withdraw_invitation": Route(
        "POST", "/{account}/team/invitations/{invitation}/removal", Right.MANAGE_TEAM, ok=DONE
    ),
    "dashboard.change_role": Route("POST", "/{account}/team/{member}/role", Right.MANAGE_TEAM, (("role", "admin"),), DONE),
    "dashboard.remove_member": Route("POST", "/{account}/team/{member}/removal", Right.MANAGE_TEAM, ok=DONE),
    "dashboard.reset_second_step": Route(
        "POST", "/{account}/team/{member}/second-step/removal", Right.MANAGE_TEAM, ok=DONE
    ),
    "dashboard.show_configurations": Route("GET", "/{account}/settings", Right.VIEW_SETTINGS),
    "dashboard.show_settings": Route("GET", "/{account}/settings/{configuration}/words", Right.VIEW_SETTINGS),
    "dashboard.save_settings": Route(
        "POST", "/{account}/settings/{configuration}/words", Right.EDIT_SETTINGS,
        (("version", "3"), ("headline", "Hello")), DONE,
    ),
    "dashboard.show_preview": Route(
        "GET", "/{account}/settings/{configuration}/words/preview", Right.VIEW_SETTINGS
    ),
    "dashboard.preview_settings": Route(
        "POST", "/{account}/settings/{configuration}/words/preview", Right.VIEW_SETTINGS, (("headline", "Hello"),)
    ),
    "dashboard.show_history": Route("GET", "/{account}/settings/{configuration}/history", Right.VIEW_SETTINGS),
    "dashboard.restore_settings": Route(
        "POST", "/{account}/settings/{configuration}/history/1/restoration", Right.EDIT_SETTINGS, (("version", "3"),), DONE
    ),
    "dashboard.compare_settings": Route(
        "GET", "/{account}/settings/{configuration}/comparison", Right.VIEW_SETTINGS
    ),
    "dashboard.copy_configuration": Route(
        "POST", "/{account}/settings/{configuration}/copies", Right.EDIT_SETTINGS, (("name", "Copy"),), DONE
    ),
    "dashboard.show_login_page": Route("GET", "/{account}/settings/{configuration}/login-page", Right.VIEW_SETTINGS),
    "dashboard.save_login_page": Route(
        "POST", "/{account}/settings/{configuration}/login-page", Right.EDIT_SETTINGS, (("enabled", "on"),), DONE
    ),
    "dashboard.save_cancellation_page": Route(
        "POST", "/{account}/settings/{configuration}/cancellation-page", Right.EDIT_SETTINGS, (("enabled", "on"),), DONE
    ),
    "dashboard.send_test": Route(
        "POST", "/{account}/emails/test", Right.EDIT_SETTINGS, (("page", "receipt"),), DONE
    ),
    "dashboard.show_sender": Route("GET", "/{account}/emails/sender", Right.EDIT_SETTINGS),
    "dashboard.save_sender": Route(
        "POST", "/{account}/emails/sender", Right.EDIT_SETTINGS, (("name", "Books"),), (409,)
    ),
    "dashboard.set_sender_key": Route(
        "POST", "/{account}/emails/sender/key", Right.EDIT_SETTINGS, (("source", "new"),), (409,)
    ),
    "dashboard.withdraw_sender": Route("POST", "/{account}/emails/sender/withdrawal", Right.EDIT_SETTINGS, ok=(409,)),
    "dashboard.check_sender": Route("POST", "/{account}/emails/sender/check", Right.EDIT_SETTINGS, ok=REFUSED),
    "dashboard.show_log": Route("GET", "/{account}/log", Right.VIEW_LOG),
    "dashboard.download_log": Route("GET", "/{account}/log.csv", Right.VIEW_LOG),
    "dashboard.upload_picture": Route(
        "POST", "/{account}/pictures/logo", Right.EDIT_SETTINGS, (("remove", "yes"),), DONE
    ),
    "dashboard.switch_configuration": Route(
        "POST", "/{account}/settings/{configuration}/activity", Right.EDIT_SETTINGS, (("active", "no"),), DONE
    ),
    "dashboard.show_customers": Route("GET", "/{account}/test/customers", Right.VIEW_CUSTOMERS),
    "dashboard.show_customer_rows": Route("GET", "/{account}/test/customers/rows?q=hedda", Right.VIEW_CUSTOMERS),
    "dashboard.new_customer": Route("GET", "/{account}/test/customers/new", Right.EDIT_CUSTOMERS),
    "dashboard.create_customer": Route(
        "POST", "/{account}/test/customers", Right.EDIT_CUSTOMERS, (("name", "Zoe"),), DONE
    ),
    "dashboard.show_customer": Route("GET", "/{account}/test/customers/{customer}", Right.VIEW_CUSTOMERS),
    "dashboard.make_link": Route("POST", "/{account}/test/customers/{customer}/links", Right.EDIT_CUSTOMERS),
    "dashboard.email_link": Route(
        "POST", "/{account}/test/customers/{customer}/emails", Right.EDIT_CUSTOMERS,
        (("purpose", "customer_update"),), REFUSED,  # there is no mail server
    ),
    "dashboard.view_as_customer": Route("GET", "/{account}/test/customers/{customer}/view", Right.VIEW_CUSTOMERS),
    "dashboard.show_customers_portal": Route(
        "GET", "/{account}/test/customers/{customer}/view/frame?page=overview", Right.VIEW_CUSTOMERS
    ),
    "dashboard.show_new_subscription": Route(
        "GET", f"{OF}/customers/{{customer}}/subscriptions/new", Right.EDIT_CUSTOMERS
    ),
    "dashboard.quote_subscription": Route(
        "POST", f"{OF}/customers/{{customer}}/subscriptions/quote", Right.EDIT_CUSTOMERS, tuple(START.items())
    ),
    "dashboard.show_invoice": Route("GET", f"{OF}/customers/{{customer}}/invoices/{{invoice}}", Right.VIEW_CUSTOMERS),
    "dashboard.refund_invoice": Route(
        "POST", f"{OF}/customers/{{customer}}/invoices/{{invoice}}/refunds", Right.EDIT_CUSTOMERS,
        (("amount", "1.00"), ("where", "balance"), ("key", "one")), DONE,
    ),
    "dashboard.start_subscription": Route(
        "POST", f"{OF}/customers/{{customer}}/subscriptions", Right.EDIT_CUSTOMERS, tuple(START.items()), (409,)
    ),
    **CATALOGUE,
    **KEYS,
    **WEBHOOKS,
    **SECOND_STEPS,
}  # fmt: skip

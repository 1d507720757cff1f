"""Creates many subscriptions that are due for renewal: one with the portal's models, and copies of it in SQL."""

from collections.abc import Mapping

from flask import Flask
from sqlalchemy import text, update

from portal_site import clock
from portal_site.billing.models import Customer, Subscription, SubscriptionItem
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.subscriptions import subscription_items
from portal_site.db import Base, db, migrations
from portal_site.db.transactions import transaction
from portal_site.demo.builder import DAY, Merchant

SERIES = {
    "sqlite": "(WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM c WHERE n < :count) SELECT n FROM c)",
    "postgresql": "(SELECT generate_series(1, :count) AS n)",
}


def fill(app: Flask, count: int, groups: int = 1, name: str = "due") -> list[int]:
    """Create `count` subscriptions of as many customers, due at `groups` different instants, and return the instants.

    Each has one item with a quantity of two, an exclusive tax and a payment method, and no discount. `name` is in their ids.
    """
    migrations.upgrade(app)
    now = clock.now()
    instants = [now - 60 - 10 * (groups - number) for number in range(groups)]
    with app.app_context():
        with transaction() as session:
            merchant = Merchant.open(session, now, "Due Works", country="DE", default_currency="eur")
            merchant.configuration(Features())
            price = merchant.price(merchant.product("Team", "seats"), 1200, "eur")
            customer = merchant.customer("Hedda Berg", f"{name}@customer.example", "")
            merchant.method(customer, "4242424242424242")
            tax = [{"id": "txr_vat", "display_name": "VAT", "percentage": "19", "inclusive": False}]
            subscription = merchant.subscription(customer, [(price, 2)], started=31, default_tax_rates=tax)
            item = subscription_items.load_items(session, subscription)[0]
            subscription.billing_cycle_anchor = item.current_period_start = instants[0] - 31 * DAY
            item.current_period_end = subscription.due_at = instants[0]
            ids = customer.id, subscription.id, item.id
        due = f"CAST(:first AS BIGINT) + 10 * (n % {groups})"
        copy(Customer, ids[0], count, {"id": f"'cus_{name}_' || n", "email": f"'{name}-' || n || '@customer.example'",
                                        "invoice_prefix": f"'{name.upper()}' || n"}, instants[0])  # fmt: skip
        copy(Subscription, ids[1], count, {"id": f"'sub_{name}_' || n", "customer_id": f"'cus_{name}_' || n", "due_at": due,
                                            "billing_cycle_anchor": f"{due} - {31 * DAY}"}, instants[0])  # fmt: skip
        copy(SubscriptionItem, ids[2], count, {"id": f"'si_{name}_' || n", "subscription_id": f"'sub_{name}_' || n",
                                                "current_period_start": f"{due} - {31 * DAY}",
                                                "current_period_end": due}, instants[0])  # fmt: skip
        with transaction() as session:
            session.execute(
                update(Subscription)
                .where(Subscription.id == ids[1], Subscription.customer_id == ids[0])
                .values(due_at=None)
            )
    return instants


def copy(kind: type[Base], row_id: str, count: int, changed: Mapping[str, str], first: int) -> None:
    """Copy a row so many times, with these columns as SQL in which `n` counts."""
    table = kind.__table__
    names = [column.name for column in table.columns]  # type: ignore[attr-defined]
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'original."{name}"') for name in names)
    series = SERIES[db.engine.dialect.name]
    statement = f"INSERT INTO {table.name} ({quoted}) SELECT {values} FROM {table.name} original, {series} s WHERE original.id = :id"  # type: ignore[attr-defined] # noqa: E501
    with transaction() as session:
        parameters = {"id": row_id, "count": count}
        copy = text(statement).execution_options(unscoped="the copies are the bench's own")
        session.execute(copy, parameters | ({"first": first} if ":first" in statement else {}))

"""Fills a database with merchants, customers and a dozen invoices for each customer, using the portal's models."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import Executable, insert, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal_site import clock, create_app
from portal_site.billing.models import Invoice, Price, Product
from portal_site.billing.rules.portal.portal_features import UPDATES, CustomerUpdate, Features, SubscriptionUpdate
from portal_site.cli import groups
from portal_site.config import Settings
from portal_site.db import Base, db, migrations
from portal_site.db.transactions import reading, transaction
from portal_site.demo import northlight
from portal_site.demo.builder import DAY, Discounted, Merchant
from portal_site.ids import new_id

MERCHANTS = 20
CARDS = ("4242424242424242", "5555555555554444", "378282246310005")
PHONES = ("+442079460958", "+33612345678", "+493012345678")
TAX_IDS = (("gb_vat", "GB123456789"), ("eu_vat", "DE123456789"), ("us_ein", "12-3456789"))
PLACES = (
    ("US", "500 Congress Ave", "Austin", "TX", "78701"),
    ("GB", "8 Baker Row", "London", None, "EC1R 3DG"),
    ("FR", "12 rue des Tilleuls", "Lyon", None, "69003"),
    ("DE", "Lindenallee 4", "Berlin", None, "10115"),
)
NAMES = ("Harbour", "Lumen", "Fjord", "Tilleul", "Polaris", "Ember", "Quarry", "Juniper", "Marlow", "Sable")
COLOURS = ("#12131f", "#f6f1e7", "#0f3d3e", "#ffffff", "#2b1d3a")
UNSCOPED = {"unscoped": "the bench is about all that it has made"}
# The columns of a copied invoice that differ from the original. Numbers are unique per customer, so a copy has none.
COPIED = {"created": "created - 86400 * CAST(:n AS INTEGER)", "number": "NULL", "cycle_at": "NULL"}
COPIED_ID = {
    "sqlite": "'in_' || lower(hex(randomblob(12)))",
    "postgresql": "'in_' || substr(md5(random()::text || clock_timestamp()::text), 1, 24)",
}


@contextmanager
def everybodys() -> Iterator[Connection]:
    """A read-only connection that may read the rows of all owners."""
    with reading() as connection:
        yield connection.execution_options(**UNSCOPED)


class Collector:
    """A replacement for a session that collects rows and writes them table by table, with many rows per statement."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rows: list[Base] = []
        self.bulk: list[tuple[Any, Sequence[Any]]] = []

    def add(self, row: Base) -> None:
        """Collect a row."""
        self.rows.append(row)

    def flush(self) -> None:
        """Do nothing; `write` stores the rows."""

    def execute(self, statement: Executable, rows: Sequence[Any]) -> None:
        """Collect the rows of an insert."""
        self.bulk.append((statement, rows))

    def write(self) -> None:
        """Store all collected rows, in the order of foreign keys."""
        for table in Base.metadata.sorted_tables:
            self.session.add_all(row for row in self.rows if row.__table__ is table)
            self.session.flush()
            statements = [(statement, rows) for statement, rows in self.bulk if statement.table.name == table.name]
            if statements:
                self.session.execute(statements[0][0], [row for _, rows in statements for row in rows])
        self.session.expunge_all()


def open_app(url: str, port: int = 8000) -> Flask:
    """The portal's app on this database, in this process."""
    return create_app(Settings.from_environment(environment(url, port)))


def environment(url: str, port: int) -> dict[str, str]:
    """The environment variables that the portal needs."""
    return {
        "PORTAL_SECRET_KEY": "a key for nothing but measuring, on this machine",
        "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
        "PORTAL_DATABASE_URL": url,
    }


def fill(app: Flask, customers: int) -> None:
    """Migrate the database and create customers, distributed among the merchants."""
    migrations.upgrade(app)
    dice = random.Random(11)
    at = clock.now()
    with app.app_context(), groups.steps(f"Making {customers:,} customers") as advance:
        for number in range(MERCHANTS):
            with transaction() as session:
                collector = Collector(session)
                _merchant(collector, at, number, range(number, customers, MERCHANTS), dice)
                collector.write()
            advance(number + 1, MERCHANTS)


def _merchant(collector: Collector, at: int, number: int, customers: Sequence[int], dice: random.Random) -> None:
    name = f"{NAMES[number % len(NAMES)]} {'Works' if number < len(NAMES) else 'Studio'}"
    colour = COLOURS[number % len(COLOURS)]
    merchant = Merchant.open(
        collector, at, name, northlight.LOGO, country="US", default_currency="usd", timezone="America/New_York",
        branding={"background": colour, "button": "#1f4fd8", "font": "system", "shape": "rounded"},
        support_email="help@merchant.example", terms_of_service_url="https://merchant.example/terms",
        privacy_policy_url="https://merchant.example/privacy",
    )  # fmt: skip
    merchant.dice = dice
    products = [
        merchant.product(word, unit) for word, unit in (("Team", "seats"), ("Storage", "GB"), ("Starter", None))
    ]
    offers = [(p, merchant.price(p, amount, "usd")) for p, amount in zip(products, (1200, 145, 900), strict=True)]
    merchant.configuration(_features(offers), default_return_url="https://merchant.example/app")
    partner = Discounted(merchant.coupon("Partner", percent_off="15"))
    for index in customers:
        _customer(merchant, index, offers, partner, dice)


def _features(offers: list[tuple[Product, Price]]) -> Features:
    return Features(
        customer_update=CustomerUpdate(allowed_updates=UPDATES),
        subscription_update=SubscriptionUpdate(
            enabled=True,
            default_allowed_updates=("price", "quantity"),
            products=tuple({"product": product.id, "prices": [price.id]} for product, price in offers),
            proration_behavior="always_invoice",
        ),
    )


def _customer(
    merchant: Merchant, index: int, offers: list[tuple[Product, Price]], partner: Discounted, dice: random.Random
) -> None:
    country, line1, city, state, code = PLACES[index % len(PLACES)]
    address = {"line1": line1, "line2": None, "city": city, "state": state, "postal_code": code, "country": country}
    customer = merchant.customer(
        f"{dice.choice(NAMES)} & {dice.choice(NAMES)}", f"billing-{index}@customer.example", "", address=address,
        phone=PHONES[index % len(PHONES)] if index % 5 else None,
    )  # fmt: skip
    merchant.method(customer, dice.choice(CARDS), (11, 2031))
    if dice.random() < 0.4:
        merchant.method(customer, dice.choice(CARDS), (4, 2030))
    if dice.random() < 0.25:
        merchant.tax_id(customer, *dice.choice(TAX_IDS), status=dice.choice(("pending", "verified")))
    chosen = [(product, price, dice.randint(1, 20)) for product, price in dice.sample(offers, dice.randint(1, 2))]
    discount = partner if dice.random() < 0.2 else None
    prices = [(price, quantity) for _, price, quantity in chosen]
    first = merchant.subscription(customer, prices, started=dice.randint(400, 900), discount=discount)
    merchant.history(customer, first, chosen, discount=discount, last="open" if dice.random() < 0.08 else "paid")
    for _ in range(dice.randint(0, 2)):
        _another_subscription(merchant, customer, offers, dice)


def _another_subscription(merchant: Merchant, customer: Any, offers: Any, dice: random.Random) -> None:
    product_price, fate = dice.choice(offers), dice.random()
    started, members = dice.randint(20, 300), {}
    if fate < 0.1:
        started, members = 9, {"status": "trialing", "trial_end": merchant.at + 5 * DAY}
    elif fate < 0.2:
        members = {"cancel_at_period_end": True, "canceled_at": merchant.at - DAY}
    elif fate < 0.25:
        members = {"status": "canceled", "ended_at": merchant.at - DAY}
    subscription = merchant.subscription(customer, [(product_price[1], dice.randint(1, 9))], started=started, **members)
    if 0.25 <= fate < 0.35:
        merchant.schedule(subscription, offers[2][1], 1, merchant.period(subscription, product_price[1])[1])


def add_history(app: Flask, customer_id: str, invoices: int) -> None:
    """Give one customer a long history, with copies of one of its invoices."""
    with app.app_context(), transaction() as session, groups.steps(f"Making {invoices:,} invoices") as advance:
        original = session.query(Invoice).filter_by(customer_id=customer_id).order_by(Invoice.created).first()
        template = {column.key: getattr(original, column.key) for column in Invoice.__mapper__.column_attrs}
        for start in range(0, invoices, 5000):
            numbers = range(start, min(start + 5000, invoices))
            changes = (
                {"id": new_id("in"), "number": None, "cycle_at": None, "created": template["created"] - 600 * n}
                for n in numbers
            )
            session.execute(insert(Invoice), [template | members for members in changes])
            advance(numbers[-1] + 1, invoices)


def multiply_invoices(app: Flask, invoices: int) -> None:
    """Raise the number of invoices in the database to `invoices`, with copies of every customer's invoices."""
    with app.app_context(), transaction() as session, groups.steps(f"Making {invoices:,} invoices") as advance:
        count = text("SELECT count(*) FROM invoices").execution_options(**UNSCOPED)
        existing = session.execute(count).scalar_one()
        columns = [column.name for column in Invoice.__table__.columns]
        changed = COPIED | {"id": COPIED_ID[db.engine.dialect.name]}
        values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
        names = ", ".join(f'"{name}"' for name in columns)
        # Only the originals have numbers, so copies are not copied again.
        copy = text(f"INSERT INTO invoices ({names}) SELECT {values} FROM invoices WHERE number IS NOT NULL")
        copies = invoices // existing - 1
        for number in range(1, copies + 1):
            session.execute(copy, {"n": number}, execution_options=UNSCOPED)
            advance(number, copies)

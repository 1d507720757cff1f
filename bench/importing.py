"""`python -m bench.importing`: writes an export of any size, imports it, and measures time, memory and the portal meanwhile.

python -m bench.importing write export.json --customers 50000 --invoices 10
python -m bench.importing measure export.json [--url postgresql://…]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from bench import data, stage, visits
from bench.load import Question

NOW = 1_760_000_000
MONTH = 30 * 86_400
ADDRESS = {
    "city": "Lyon",
    "country": "FR",
    "line1": "1 rue Neuve",
    "line2": None,
    "postal_code": "69001",
    "state": None,
}
PRICES = [(f"price_{n}", 1000 + 500 * n) for n in range(8)]
NOTHING = (
    "account_tax_ids application automatically_finalizes_at custom_fields default_payment_method default_source description "
    "due_date footer from_invoice last_finalization_error latest_revision next_payment_attempt on_behalf_of payment_method "
    "receipt_number rendering shipping_cost shipping_details statement_descriptor test_clock threshold_reason quote"
).split()
HOSTED = "https://invoice.example/i/acct_000000000000000000/test_" + "x" * 180


def _price(name: str, amount: int) -> dict[str, Any]:
    recurring = {
        "interval": "month",
        "interval_count": 1,
        "usage_type": "licensed",
        "trial_period_days": None,
        "meter": None,
    }
    return {
        "id": name, "object": "price", "active": True, "billing_scheme": "per_unit", "created": NOW, "currency": "eur",
        "livemode": False, "lookup_key": None, "metadata": {}, "nickname": None, "product": "prod_0", "recurring": recurring,
        "tax_behavior": "unspecified", "tiers_mode": None, "transform_quantity": None, "type": "recurring",
        "unit_amount": amount, "unit_amount_decimal": str(amount),
    }  # fmt: skip


def _customer(number: int) -> dict[str, Any]:
    return {
        "id": f"cus_{number:08}", "object": "customer", "address": ADDRESS, "balance": 0, "created": NOW - 20 * MONTH,
        "currency": "eur", "default_source": None, "delinquent": False, "description": None, "discount": None,
        "email": f"customer{number}@example.com", "invoice_prefix": f"C{number:07}", "livemode": False, "metadata": {},
        "invoice_settings": {"custom_fields": None, "default_payment_method": f"pm_{number:08}", "footer": None},
        "name": f"Customer {number}", "next_invoice_sequence": 1, "phone": None, "preferred_locales": ["fr"], "shipping": None,
        "tax_exempt": "none", "test_clock": None,
    }  # fmt: skip


def _method(number: int) -> dict[str, Any]:
    card = {"brand": "visa", "country": "FR", "exp_month": 9, "exp_year": 2031, "fingerprint": "x", "funding": "credit",
            "last4": "4242", "networks": {"available": ["visa"], "preferred": None}}  # fmt: skip
    return {"id": f"pm_{number:08}", "object": "payment_method", "card": card, "created": NOW, "customer": f"cus_{number:08}",
            "livemode": False, "metadata": {}, "type": "card"}  # fmt: skip


def _subscription(number: int, invoices: int) -> dict[str, Any]:
    price = _price(*PRICES[number % len(PRICES)])
    item = {
        "id": f"si_{number:08}", "object": "subscription_item", "created": NOW - invoices * MONTH, "price": price, "quantity": 1,
        "current_period_start": NOW, "current_period_end": NOW + MONTH, "discounts": [], "metadata": {}, "tax_rates": [],
        "subscription": f"sub_{number:08}",
    }  # fmt: skip
    return {
        "id": f"sub_{number:08}", "object": "subscription", "automatic_tax": {"enabled": False, "liability": None},
        "billing_cycle_anchor": NOW, "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None,
        "collection_method": "charge_automatically", "created": NOW - invoices * MONTH, "currency": "eur",
        "customer": f"cus_{number:08}", "default_payment_method": None, "default_tax_rates": [], "discounts": [],
        "ended_at": None, "items": {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
        "latest_invoice": f"in_{number:08}_{invoices - 1:04}", "livemode": False, "metadata": {}, "start_date": NOW,
        "status": "active", "trial_end": None, "trial_start": None,
    }  # fmt: skip


def _invoice(number: int, count: int, invoices: int) -> dict[str, Any]:
    price, amount = PRICES[number % len(PRICES)]
    name, start = f"in_{number:08}_{count:04}", NOW - (invoices - 1 - count) * MONTH
    tax = {"amount": amount // 5, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_1"},
           "taxability_reason": "standard_rated", "taxable_amount": amount, "type": "tax_rate_details"}  # fmt: skip
    details = {"invoice_item": None, "proration": False, "proration_details": {"credited_items": None},
               "subscription": f"sub_{number:08}", "subscription_item": f"si_{number:08}"}  # fmt: skip
    line = {
        "id": f"il_{number:08}_{count:04}", "object": "line_item", "amount": amount, "currency": "eur", "discounts": [],
        "description": "1 × Studio (at €30.00 / month)", "discount_amounts": [], "discountable": True, "invoice": name,
        "livemode": False, "metadata": {}, "period": {"start": start, "end": start + MONTH}, "pretax_credit_amounts": [],
        "parent": {"invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details"},
        "pricing": {"price_details": {"price": price, "product": "prod_0"}, "type": "price_details",
                    "unit_amount_decimal": str(amount)},
        "quantity": 1, "subscription": f"sub_{number:08}", "taxes": [tax],
    }  # fmt: skip
    total = amount + amount // 5
    return {
        "id": name, "object": "invoice", **dict.fromkeys(NOTHING), "account_country": "FR", "account_name": "Studio",
        "amount_due": total, "amount_overpaid": 0, "amount_paid": total, "amount_remaining": 0, "amount_shipping": 0,
        "attempt_count": 1, "attempted": True, "auto_advance": False, "billing_reason": "subscription_cycle",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        "collection_method": "charge_automatically", "created": start, "currency": "eur", "customer": f"cus_{number:08}",
        "customer_address": ADDRESS, "customer_email": f"customer{number}@example.com", "customer_name": f"Customer {number}",
        "customer_phone": None, "customer_shipping": None, "customer_tax_exempt": "none", "customer_tax_ids": [],
        "default_tax_rates": [], "discounts": [], "effective_at": start, "ending_balance": 0, "hosted_invoice_url": HOSTED,
        "invoice_pdf": HOSTED + "/pdf", "issuer": {"type": "self"}, "livemode": False, "metadata": {},
        "lines": {"object": "list", "data": [line], "has_more": False, "total_count": 1, "url": f"/v1/invoices/{name}/lines"},
        "number": f"C{number:07}-{count + 1:04}",
        "parent": {"quote_details": None, "subscription_details": {"metadata": {}, "subscription": f"sub_{number:08}"},
                   "type": "subscription_details"},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": start, "period_start": start - MONTH, "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0, "starting_balance": 0, "status": "paid", "subtotal": amount,
        "status_transitions": {"finalized_at": start, "marked_uncollectible_at": None, "paid_at": start, "voided_at": None},
        "subtotal_excluding_tax": amount, "total": total, "total_discount_amounts": [], "total_excluding_tax": amount,
        "total_pretax_credit_amounts": [], "total_taxes": [tax], "webhooks_delivered_at": start,
    }  # fmt: skip


def _objects(customers: int, invoices: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Each type with its objects. Invoices come newest first, so that those of a customer lie far apart, as in a real list."""
    product = {"id": "prod_0", "object": "product", "active": True, "created": NOW, "livemode": False, "name": "Studio"}
    yield "product", iter([product])
    yield "price", (_price(*price) for price in PRICES)
    yield "customer", map(_customer, range(customers))
    yield "payment_method", map(_method, range(customers))
    yield "subscription", (_subscription(number, invoices) for number in range(customers))
    yield (
        "invoice",
        (_invoice(number, count, invoices) for count in reversed(range(invoices)) for number in range(customers)),
    )


def write(file: TextIO, customers: int, invoices: int) -> None:
    """Write an export of so many customers with so many invoices each."""
    for position, (kind, objects) in enumerate(_objects(customers, invoices)):
        file.write(f'{"," if position else "{"}\n"{kind}": {{"object": "list", "has_more": false, "data": [\n')
        for number, one in enumerate(objects):
            file.write((",\n" if number else "") + json.dumps(one, ensure_ascii=False, indent=1))
        file.write("]}")
    file.write("}\n")


def measure(path: Path, url: str | None) -> None:
    """Import the file in a process of its own while a portal is asked for pages, and print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = url or f"sqlite:///{folder / 'portal.db'}"
        app = data.open_app(url)
        data.fill(app, data.MERCHANTS)
        guests = visits.invite(app, 20)
        with stage.portal(url, folder) as server:
            questions = [Question.of(server.port, visits.enter_portal(server.port, guests)[0])]
            idle = _times(questions, 300)
            environment = {**os.environ, "PORTAL_DATABASE_URL": url, "PORTAL_DATA_DIR": name,
                           "PORTAL_SECRET_KEY": "x" * 40, "PORTAL_BASE_URL": "http://localhost"}  # fmt: skip
            began = time.monotonic()
            command = [sys.executable, "-m", "portal_site.cli", "import", str(path), "--account", _new_account(app)]
            running = subprocess.Popen(command, env=environment)
            meanwhile: list[float] = []
            memory: list[dict[str, float]] = []
            while running.poll() is None:
                meanwhile += _times(questions, 20)
                memory.append(_memory(running.pid))
                time.sleep(0.2)
            seconds = time.monotonic() - began
    whole, own = (max(used[name] for used in memory) for name in ("Pss", "Pss_Anon"))
    print(f"import: {seconds:.0f} s, {whole:.0f} MB at most in both processes, {own:.0f} MB without the pages of files")
    for words, times in (("idle", idle), ("meanwhile", meanwhile)):
        ordered = sorted(times)
        slow = ordered[-len(ordered) // 100 - 1]
        print(f"page {words}: median {statistics.median(ordered) * 1000:.0f} ms, p99 {slow * 1000:.0f} ms")


def _memory(pid: int) -> dict[str, float]:
    """The memory in MB of a process and its children: all of it, and what is not pages of files."""
    used = {"Pss": 0.0, "Pss_Anon": 0.0}
    with suppress(OSError):  # one of them has just ended
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (str(pid), *children):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in used:
                    used[name] += int(value.split()[0]) / 1024
    return used


def _new_account(app: Any) -> str:
    from portal_site.billing.models import Account
    from portal_site.db.transactions import transaction

    with app.app_context(), transaction() as session:
        session.add(Account(id="acct_imported", created=NOW, business_name="Imported"))
    return "acct_imported"


def _times(questions: list[Question], count: int) -> list[float]:
    times = []
    for number in range(count):
        began = time.monotonic()
        questions[number % len(questions)].ask()
        times.append(time.monotonic() - began)
    return times


def main() -> None:
    """Parse the arguments, and write or measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.importing", description=__doc__)
    parser.add_argument("action", choices=("write", "measure"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--invoices", type=int, default=10, help="of each customer (10)")
    parser.add_argument("--url", help="of the database; a new one in SQLite otherwise")
    options = parser.parse_args()
    if options.action == "write":
        with options.file.open("w") as file:
            write(file, options.customers, options.invoices)
    else:
        measure(options.file, options.url)


if __name__ == "__main__":
    main()

"""Payment methods that stay at the provider that they were read from: they are charged there, as the customer who has them."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.models import Customer, PaymentMethod, ProviderCustomer, Subscription
from portal_site.db import bulk
from portal_site.ids import new_id

OTHER_CUSTOMER = "it is another customer at the provider already: its payment methods there are not charged"


def name(objects: Sequence[ImportedObject], gateway: str) -> None:
    """Let the payment methods of a batch be those of a provider, under their own ids, and let it go on billing subscriptions."""
    for one in objects:
        for row in one.parts(Subscription):
            row.values["billed_elsewhere"] = True
        for row in one.parts(PaymentMethod):
            row.values["gateway"], row.values["gateway_reference"] = gateway, row.id


def claim(
    session: Session, objects: Sequence[ImportedObject], account_id: str, gateway: str, at: int, report: ImportReport
) -> None:
    """Store the customers of a batch under their ids at the provider, and the payment methods of an earlier import as theirs.

    A customer that is known there under another id keeps it, because the methods that it added here belong to that one.
    """
    customers = {one.id: one for one in objects if one.kind == "customer"}
    if not customers:
        return
    mine = ProviderCustomer.account_id == account_id, ProviderCustomer.gateway == gateway
    query = select(ProviderCustomer.customer_id, ProviderCustomer.reference)
    known = {row[0]: row[1] for row in session.execute(query.where(*mine, ProviderCustomer.customer_id.in_(customers)))}
    stored = select(Customer.id, Customer.livemode).where(Customer.account_id == account_id, Customer.id.in_(customers))
    new = [(row.id, row.livemode) for row in session.execute(stored) if row.id not in known]
    if new:
        rows = [
            {"id": new_id("pcus"), "account_id": account_id, "customer_id": customer, "livemode": livemode, "created": at,
             "gateway": gateway, "reference": customer}
            for customer, livemode in new
        ]  # fmt: skip
        bulk.insert(session, ProviderCustomer, rows)
    for customer, reference in known.items():
        if reference != customer:
            sentence = f"customer {customer} is {reference} at {gateway} for what it added here."
            report.find(Result.CONFLICT, "customer", customer, OTHER_CUSTOMER, sentence, customer)
    others = {customer for customer, reference in known.items() if reference != customer}
    methods = [one.id for one in objects if one.kind == "payment_method" and one.customer not in others]
    if methods:
        mine_too = PaymentMethod.account_id == account_id, PaymentMethod.id.in_(methods)
        changed = update(PaymentMethod).where(*mine_too, PaymentMethod.gateway_reference.is_(None))
        changed = changed.values(gateway=gateway, gateway_reference=PaymentMethod.id)
        session.execute(changed, execution_options={"synchronize_session": False})

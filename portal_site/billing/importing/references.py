"""Resolves what the objects of a batch refer to, and leaves out by object what cannot be taken without it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from portal_site.billing.importing.currencies import Currencies
from portal_site.billing.importing.known import Known
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.reading.index import OF_CUSTOMERS, OF_THE_ACCOUNT
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.models import (
    Account,
    Coupon,
    CreditNote,
    Customer,
    Discount,
    Invoice,
    PaymentMethod,
    PortalConfiguration,
    Price,
    Product,
    PromotionCode,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.rules.portal import portal_features
from portal_site.db import Base

# The kinds in the order in which they refer to each other. A promotion code may be a customer's.
ORDER = (
    *(kind for kind in OF_THE_ACCOUNT if kind != "promotion_code"),
    OF_CUSTOMERS[0],
    "promotion_code",
    *OF_CUSTOMERS[1:],
)
WORLDS = ("the other mode", "another customer")  # the words for the first two members of a target
COUPONS = " Deleted ones come with expand[]=data.discounts.source.coupon."
ABSENT = "their {word} is neither in the files nor here"
FOREIGN = "their {word} is of {whose}"
UNKNOWN_DISCOUNT = "a discount whose coupon is unknown"


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that refers to a row of a model. An object is taken without it unless it is `required`."""

    column: str
    word: str
    target: type[Base]
    required: bool = True


_CUSTOMER = Reference("customer_id", "customer", Customer)
_METHOD = Reference("default_payment_method_id", "payment method", PaymentMethod, required=False)
_CONNECTED = Reference("on_behalf_of", "connected account", Account)
_INVOICE = Reference("invoice_id", "invoice", Invoice)
REFERENCES: dict[type[Base], tuple[Reference, ...]] = {
    Price: (Reference("product_id", "product", Product),),
    PromotionCode: (Reference("coupon_id", "coupon", Coupon), _CUSTOMER),
    Customer: (_METHOD,),
    TaxId: (_CUSTOMER,),
    PaymentMethod: (_CUSTOMER,),
    Subscription: (_CUSTOMER, _METHOD, Reference("latest_invoice_id", "invoice", Invoice, required=False), _CONNECTED),
    SubscriptionItem: (Reference("price_id", "price", Price),),
    SubscriptionSchedule: (_CUSTOMER, Reference("subscription_id", "subscription", Subscription)),
    SchedulePhaseItem: (Reference("price_id", "price", Price),),
    Discount: (Reference("coupon_id", "coupon", Coupon),),
    Invoice: (_CUSTOMER, Reference("subscription_id", "subscription", Subscription, required=False), _CONNECTED),
    CreditNote: (_CUSTOMER, _INVOICE),
}
TARGETS = {PromotionCode, *(reference.target for references in REFERENCES.values() for reference in references)}
ComesLater = Callable[[str], bool]
ENDED_SCHEDULES = ("canceled", "completed", "released")


def wanted(objects: Sequence[ImportedObject]) -> Iterator[tuple[type[Base], str]]:
    """Model and id of everything that these objects refer to."""
    for one in objects:
        for row in one.rows:
            for reference, name in _of(row):
                yield reference.target, name
            if row.model is Discount and row.promotion_code_id:
                yield PromotionCode, row.promotion_code_id


def _of(row: Row) -> Iterator[tuple[Reference, str]]:
    if row.model is PortalConfiguration:
        changes = portal_features.read(row.features).subscription_update
        for offered in (*changes.products, *changes.add_ons):
            yield Reference("features", "product", Product), offered["product"]
            for price_id in offered["prices"]:
                yield Reference("features", "price", Price), price_id
    for reference in REFERENCES.get(row.model, ()):
        name = row.values[reference.column]
        if name is not None:
            yield reference, name


class Resolver:
    """Resolves the references of one import's batches against what is known."""

    def __init__(self, known: Known, currencies: Currencies, report: ImportReport) -> None:
        self._known, self._currencies, self._report = known, currencies, report

    def resolve(self, objects: Sequence[ImportedObject], comes_later: ComesLater) -> list[ImportedObject]:
        """The objects that can be taken, in the order of their references; what they refer to is among them, or stored.

        `comes_later` tells whether an invoice is in a later batch.
        """
        taken: list[ImportedObject] = []
        incomplete: set[str] = set()  # customers with a discount that is not known
        for one in sorted(objects, key=lambda one: ORDER.index(one.kind)):
            if one.kind == "customer" and self._drop_unknown_discount(one):
                incomplete.add(one.id)
            if one.kind == "subscription" and one.customer in incomplete and not list(one.parts(Discount)):
                sentence = f"{one.name} has a discount of its customer's whose coupon is neither in the file nor here."
                self._leave_out(one, UNKNOWN_DISCOUNT, sentence)
            elif self._has_what_it_needs(one, comes_later):
                prices, problem = self._currencies.fit(one)
                taken += prices
                if problem is not None:
                    self._leave_out(one, *problem)
                    continue
                taken.append(one)
                self._make_known(one)
        for one in taken:
            for row in one.rows:
                self._clear_optional(one, row, comes_later)
        return taken

    def _make_known(self, one: ImportedObject) -> None:
        for row in one.rows:
            if row.model in TARGETS:
                self._known.add(row)

    def _drop_unknown_discount(self, customer: ImportedObject) -> bool:
        """Take a discount of unknown terms from a customer; its subscriptions cannot be taken without it."""
        for row in list(customer.parts(Discount)):
            if self._known.get(Coupon, row.coupon_id) is None:
                sentence = f"{row.name} refers to coupon {row.coupon_id}, which is neither in the file nor here."
                self._report.find(Result.LEFT_OUT, "discount", row.id, UNKNOWN_DISCOUNT, sentence, customer.id)
                customer.rows.remove(row)
                return True
        return False

    def _has_what_it_needs(self, one: ImportedObject, comes_later: ComesLater) -> bool:
        """Whether it can be taken; if not, everything that it lacks is reported at once, what it needs first."""
        found = [
            (not self._is_required(reference, row), problem)
            for row in one.rows
            for reference, name in _of(row)
            if (problem := self._problem(row, reference, name)) is not None
            and (self._is_required(reference, row) or reference.target is not Invoice or not comes_later(name))
        ]
        if all(is_optional for is_optional, _ in found):
            return True
        for number, (_, problem) in enumerate(sorted(dict.fromkeys(found), key=itemgetter(0))):
            if number == 0:
                self._leave_out(one, *problem)
            elif not one.embedded:
                self._report.find(Result.MISSING, one.kind, one.id, *problem, one.customer)
        return False

    @staticmethod
    def _is_required(reference: Reference, row: Row) -> bool:
        ended = row.model is SubscriptionSchedule and row.status in ENDED_SCHEDULES
        return reference.required and not (ended and reference.target is Subscription)

    def _problem(self, row: Row, reference: Reference, name: str) -> tuple[str, str] | None:
        """Cause and sentence of why a row cannot refer to this target; None if it can."""
        target = self._known.get(reference.target, name)
        if target is None:
            sentence = f"{row.name} refers to {reference.word} {name}, which is neither in the file nor here."
            if reference.target is Coupon:
                sentence += COUPONS
            return ABSENT.format(word=reference.word), sentence
        for own, other, whose in zip(_world(row), target, WORLDS, strict=False):
            if None not in (own, other) and own != other:
                sentence = f"{row.name} refers to {reference.word} {name} of {whose}."
                return FOREIGN.format(word=reference.word, whose=whose), sentence
        return None

    def _leave_out(self, one: ImportedObject, cause: str, sentence: str) -> None:
        if one.embedded:
            return  # whatever holds it says what is missing
        self._report.find(Result.LEFT_OUT, one.kind, one.id, cause, sentence, one.customer)

    def _clear_optional(self, one: ImportedObject, row: Row, comes_later: ComesLater) -> None:
        for reference, name in _of(row):
            if self._is_required(reference, row):
                continue
            problem = self._problem(row, reference, name)
            if problem is not None and reference.target is Invoice and comes_later(name):
                continue
            if problem is not None:
                row.values[reference.column] = None
                if row.model is Subscription and reference.target is Invoice:
                    one.unbillable.append("its latest invoice is missing")
                cause, sentence = problem
                self._report.find(Result.MISSING, one.kind, one.id, cause, sentence, one.customer)


def _world(row: Row) -> tuple[bool | None, str | None]:
    """The mode (`livemode`) and the customer id of a row; None where the model has none."""
    customer: Any = row.values["id"] if row.model is Customer else row.values.get("customer_id")
    return row.values.get("livemode"), customer

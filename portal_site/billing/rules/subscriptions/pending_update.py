"""A confirmed change that is applied once its invoice is paid, as a type and as the versioned document that is stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

VERSION = 2


@dataclass(frozen=True, slots=True)
class PendingItem:
    """An item as it will be. `created` is set only for an item that is added."""

    id: str
    price_id: str
    quantity: int | None
    period_start: int
    period_end: int
    anchor: int | None = None
    created: int | None = None


@dataclass(frozen=True, slots=True)
class PendingDiscount:
    """The discount of a promotion code or an accepted offer, before it exists. Times are seconds since 1970 (UTC)."""

    id: str
    coupon_id: str
    start: int
    end: int | None = None
    promotion_code: str | None = None
    promotion_code_id: str | None = None


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """A change, and all that is needed to apply or discard it.

    `expires_at` is when it is discarded unless `invoice_id` is paid. `items` are the items that stay or are added, and
    `removed_items` the ids of those that go. `ended_discounts` are the ids of the discounts that end with it: single-use ones
    that its invoice used, and those that its promotion code replaces. `attempt_id` is the cancellation attempt in which a
    cheaper plan was offered, if any. With `replaces_planned_change` a change that the customer had planned for the end of the
    period is undone when this one is applied.
    """

    expires_at: int
    items: tuple[PendingItem, ...]
    removed_items: tuple[str, ...]
    billing_cycle_anchor: int
    trial_end: int | None
    invoice_id: str | None = None
    discount: PendingDiscount | None = None
    ended_discounts: frozenset[str] = frozenset()
    attempt_id: str = ""
    replaces_planned_change: bool = False

    @property
    def promotion_code_id(self) -> str | None:
        """The id of the promotion code that it redeems, if any."""
        return self.discount.promotion_code_id if self.discount else None

    def as_document(self) -> dict[str, Any]:
        """The JSON document that is stored.

        It keeps the names of version 1, so that a process of the release before can still read it during an upgrade.
        """
        return {
            "version": VERSION,
            "expires_at": self.expires_at,
            "subscription_items": [
                {
                    "id": item.id,
                    "price": item.price_id,
                    "quantity": item.quantity,
                    "current_period_start": item.period_start,
                    "current_period_end": item.period_end,
                    "created": item.created,
                }
                for item in self.items
            ],
            "item_anchors": {item.id: item.anchor for item in self.items if item.anchor is not None},
            "removed_items": list(self.removed_items),
            "billing_cycle_anchor": self.billing_cycle_anchor,
            "trial_end": self.trial_end,
            "invoice": self.invoice_id,
            "discount": asdict(self.discount) if self.discount else None,
            "spent": sorted(self.ended_discounts),
            "attempt": self.attempt_id,
            "replaces_plan": self.replaces_planned_change,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The inverse. Also reads version 1, which a process of the release before writes during an upgrade.

        Version 1 has no `version`, `removed_items` and `created`; `item_anchors`, `attempt` and `replaces_plan` can be missing.
        """
        anchors = document.get("item_anchors", {})
        discount = document["discount"]
        return cls(
            expires_at=document["expires_at"],
            items=tuple(
                PendingItem(
                    item["id"], item["price"], item["quantity"], item["current_period_start"],
                    item["current_period_end"], anchors.get(item["id"]), item.get("created"),
                )
                for item in document["subscription_items"]
            ),
            removed_items=tuple(document.get("removed_items", ())),
            billing_cycle_anchor=document["billing_cycle_anchor"],
            trial_end=document["trial_end"],
            invoice_id=document["invoice"],
            discount=PendingDiscount(**discount) if discount else None,
            ended_discounts=frozenset(document["spent"]),
            attempt_id=document.get("attempt", ""),
            replaces_planned_change=document.get("replaces_plan", False),
        )  # fmt: skip

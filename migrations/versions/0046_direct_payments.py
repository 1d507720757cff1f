"""Payments of no invoice: payment intents with charges and refunds, Checkout sessions, and payment methods of nobody yet.

Setup intents and payment methods get what a merchant's program says of them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None
LISTED = ("payment_intents", "charges", "charge_refunds", "checkout_sessions")
BY_CUSTOMER = ("payment_intents", "charges", "checkout_sessions")
BY_PARENT = (
    ("charges", "payment_intent_id"),
    ("charge_refunds", "payment_intent_id"),
    ("charge_refunds", "charge_id"),
    ("checkout_sessions", "setup_intent_id"),
)
AWAITED = (
    ("ix_payment_intents_due", "payment_intents", "due_at", "due_at IS NOT NULL"),
    ("ix_checkout_sessions_open", "checkout_sessions", "expires_at", "status = 'open'"),
)
ADDED = {
    "payment_methods": ("billing_details", "metadata"),
    "setup_intents": (
        "client_secret", "payment_method_types", "usage", "description", "chosen_method_id", "return_url", "next_action_url",
        "last_setup_error", "acceptance", "cancellation_reason", "metadata",
    ),
    "sandbox_setups": ("cancel_url", "method_type", "failed"),
    "sandbox_methods": ("on_setup",),
}  # fmt: skip


def _own(customer_is_known: bool = False) -> list[Any]:
    """The columns of all these tables."""
    return [
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("customer_id", sa.String(), sa.ForeignKey("customers.id"), nullable=not customer_is_known),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("metadata", sa.JSON(), nullable=False),
    ]


def _required(kind: Any, *names: str) -> list[Any]:
    return [sa.Column(name, kind(), nullable=False) for name in names]


def _optional(kind: Any, *names: str) -> list[Any]:
    return [sa.Column(name, kind()) for name in names]


def upgrade() -> None:
    _create_tables()
    for table in LISTED:
        op.create_index(f"ix_{table}_list", table, ["account_id", "livemode", "created", "id"])
    for table in BY_CUSTOMER:
        op.create_index(f"ix_{table}_customer_id", table, ["customer_id", "created", "id"])
    for table, column in BY_PARENT:
        op.create_index(f"ix_{table}_{column}", table, [column])
    for name, table, column, condition in AWAITED:
        op.create_index(
            name, table, [column], sqlite_where=sa.text(condition), postgresql_where=sa.text(condition)
        )
    _add_columns()


def _create_tables() -> None:
    text, big, json, long = sa.String, sa.BigInteger, sa.JSON, sa.Text
    unattached = [column for column in _own() if column.name != "customer_id"]
    op.create_table(
        "unattached_payment_methods", *unattached,
        *_required(text, "type", "last4", "gateway", "gateway_reference"),
        *_optional(text, "brand", "funding", "country", "fingerprint"),
        *_optional(big, "exp_month", "exp_year", "used_at"), *_optional(json, "billing_details"),
    )  # fmt: skip
    descriptors = "statement_descriptor", "statement_descriptor_suffix"
    op.create_table(
        "payment_intents", *_own(),
        *_required(big, "amount", "amount_received", "tries"), *_optional(big, "canceled_at", "tried_at", "due_at"),
        *_required(text, "currency", "status", "client_secret"),
        *_optional(
            text, "payment_method_id", "setup_future_usage", "receipt_email", *descriptors, "latest_charge_id",
            "cancellation_reason",
        ),
        *_optional(long, "description", "return_url", "next_action_url"),
        *_required(json, "payment_method_types"),
        *_optional(json, "automatic_payment_methods", "shipping", "last_payment_error"),
    )  # fmt: skip
    intent = sa.Column("payment_intent_id", sa.String(), sa.ForeignKey("payment_intents.id"), nullable=False)
    op.create_table(
        "charges", *_own(), intent, *_required(big, "amount", "amount_refunded"),
        *_required(text, "currency", "status", "payment_method_id", "gateway", "gateway_reference"),
        *_optional(text, "decline_code", "receipt_email", *descriptors), *_optional(long, "description"),
        *_required(json, "payment_method_details", "billing_details"), *_optional(json, "shipping"),
    )  # fmt: skip
    charge = sa.Column("charge_id", sa.String(), sa.ForeignKey("charges.id"), nullable=False)
    intent = sa.Column("payment_intent_id", sa.String(), sa.ForeignKey("payment_intents.id"), nullable=False)
    op.create_table(
        "charge_refunds", *_own(), intent, charge, *_required(big, "amount"), *_required(text, "currency", "status"),
        *_optional(text, "reason", "gateway_reference"),
    )  # fmt: skip
    op.create_table(
        "checkout_sessions", *_own(customer_is_known=True), *_required(text, "setup_intent_id", "status"),
        *_required(big, "expires_at"), *_required(json, "payment_method_types"), *_required(long, "success_url", "url"),
        *_optional(text, "currency", "client_reference_id"), *_optional(long, "cancel_url"),
    )  # fmt: skip


def _add_columns() -> None:
    def text(name: str, default: str | None = None) -> Any:
        return sa.Column(name, sa.String(), nullable=default is None, server_default=default)

    def json(name: str, default: str | None = None) -> Any:
        return sa.Column(name, sa.JSON(), nullable=default is None, server_default=default)

    made = {
        column.name: column
        for column in (
            text("client_secret"), text("usage", "off_session"), text("chosen_method_id"), text("cancellation_reason"),
            *_optional(sa.Text, "description", "return_url", "next_action_url", "cancel_url"),
            json("billing_details"), json("payment_method_types", '["card", "sepa_debit"]'), json("last_setup_error"),
            json("acceptance"), text("method_type"), text("on_setup", "ok"),
            sa.Column("failed", sa.Boolean(), nullable=False, server_default=sa.false()),
        )
    }  # fmt: skip
    for table, names in ADDED.items():
        for name in names:
            op.add_column(table, json("metadata", "{}") if name == "metadata" else made[name])
    op.create_index("ix_setup_intents_list", "setup_intents", ["account_id", "livemode", "created", "id"])


def downgrade() -> None:
    op.drop_index("ix_setup_intents_list", "setup_intents")
    for table, names in ADDED.items():
        for name in names:
            op.drop_column(table, name)
    for table in ("checkout_sessions", "charge_refunds", "charges", "payment_intents", "unattached_payment_methods"):
        op.drop_table(table)

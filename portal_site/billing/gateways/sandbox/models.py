"""The sandbox's own tables, which stand for the provider's data. The billing tables are never joined with them."""

from sqlalchemy import Text, false
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.db import Base


class SandboxSetup(Base):
    """A visit to the sandbox's page. Anybody who has the reference can open the page.

    `method_type` is the only type that it takes, if there is one; `cancel_url` is where one goes back to without a method, if
    that is not where one returns to with it. It has `failed` while the last answer to the bank's question was no.
    """

    __tablename__ = "sandbox_setups"

    reference: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    return_url: Mapped[str] = mapped_column(Text)
    method_reference: Mapped[str | None]
    cancel_url: Mapped[str | None] = mapped_column(Text)
    method_type: Mapped[str | None]
    failed: Mapped[bool] = mapped_column(default=False, server_default=false())


class SandboxMethod(Base):
    """A payment method: its behaviour and the last four digits, without the number.

    One that was made without the page may not have been set up: `on_setup` is what happens then, and unless it is `confirmed` its
    bank asks at each charge.
    """

    __tablename__ = "sandbox_methods"

    reference: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    brand: Mapped[str | None]
    last4: Mapped[str]
    exp_month: Mapped[int | None]
    exp_year: Mapped[int | None]
    country: Mapped[str]
    fingerprint: Mapped[str]
    on_charge: Mapped[str]
    confirmed: Mapped[bool] = mapped_column(default=True)
    on_setup: Mapped[str] = mapped_column(default="ok", server_default="ok")


class SandboxCharge(Base):
    """A charge by its idempotency key: the first answer is the answer for ever, but for a finished authentication or debit.

    A debit is processed until `settles_at`, and then declined if it has a `decline_code` already.
    """

    __tablename__ = "sandbox_charges"

    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    method_reference: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    decline_code: Mapped[str | None]
    return_url: Mapped[str] = mapped_column(Text)
    settles_at: Mapped[int | None]


class SandboxRefund(Base):
    """Money given back, by its idempotency key."""

    __tablename__ = "sandbox_refunds"

    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    charge_reference: Mapped[str] = mapped_column(index=True)
    amount: Mapped[int]
    status: Mapped[str]

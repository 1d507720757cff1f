"""The connections of accounts to Stripe."""

from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, LongText
from portal_site.db import Base


class StripeConnection(Base):
    """What one mode of an account needs to call Stripe. Secrets are encrypted; `redacted` is what of the key is shown.

    `stripe_account` is Stripe's id of the account that the key belongs to. With `acts_for` the key is a platform's, and calls
    are made for that connected account. `webhook_secret` is that of the endpoint `webhook_id` at Stripe, if there is one; the
    former one counts until `former_secret_until`. Until `events_until`, Stripe was asked which events there were. `fault` is
    why the key stopped working, if it did.
    """

    __tablename__ = "stripe_connections"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    livemode: Mapped[bool] = mapped_column(primary_key=True)
    created: Mapped[int]
    secret_key: Mapped[LongText]
    redacted: Mapped[str]
    stripe_account: Mapped[str]
    acts_for: Mapped[str | None]
    country: Mapped[str | None]
    currency: Mapped[str | None]
    webhook_id: Mapped[str | None]
    webhook_secret: Mapped[LongText | None]
    former_secret: Mapped[LongText | None]
    former_secret_until: Mapped[int | None]
    events_until: Mapped[int] = mapped_column(default=0, server_default="0")
    checked_at: Mapped[int]
    fault: Mapped[LongText | None]

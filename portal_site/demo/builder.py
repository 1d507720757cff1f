"""Creates the demo's data: a builder of rows that also knows the sandbox's cards, logos, codes and tax ids."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.gateways.sandbox import test_numbers
from portal_site.billing.gateways.sandbox.models import SandboxMethod
from portal_site.billing.models import (
    Account,
    BrandAsset,
    Coupon,
    Customer,
    PaymentMethod,
    PortalConfiguration,
    PromotionCode,
    TaxId,
)
from portal_site.billing.rules.amounts import promotion_codes
from portal_site.billing.rules.customers import tax_ids
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.branding import logos, theme
from portal_site.ids import new_id
from portal_site.samples.builder import DAY, YEAR_DAYS, Builder, Discounted, coupon_columns, offer, periods

__all__ = ["DAY", "Discounted", "Merchant", "coupon_columns", "offer", "periods"]


@dataclass
class Merchant(Builder):
    """Builds the demo data of one account as of `at` (seconds since 1970)."""

    @classmethod
    def open(cls, session: Session, at: int, name: str, logo: str = "", **members: Any) -> "Merchant":
        """Create a merchant with its branding and, if given, its logo (SVG)."""
        theme.parse(**members.get("branding", {}))
        account = Account(id=new_id("acct"), created=at - 2 * YEAR_DAYS * DAY, business_name=name, **members)
        session.add(account)
        session.flush()
        merchant = cls(session, at, account)
        if logo:
            clean = logos.accept(logo.encode())
            asset = merchant.row(
                BrandAsset,
                "file",
                content_type=clean.content_type,
                data=clean.data,
                width=clean.width,
                height=clean.height,
            )
            account.logo_id = asset.id
        return merchant

    def configuration(self, features: Features, *, is_default: bool = True, **members: Any) -> PortalConfiguration:
        """Create a portal configuration."""
        document = features.as_document()
        return self.row(
            PortalConfiguration, "bpc", updated=self.at, is_default=is_default, features=document, **members
        )

    def coupon(self, name: str, duration: str = "forever", **members: Any) -> Coupon:
        """Create a coupon."""
        return self.row(Coupon, "cpn", name=name, duration=duration, **members)

    def promotion_code(self, code: str, coupon: Coupon, **members: Any) -> PromotionCode:
        """Create a promotion code for a coupon."""
        return self.row(
            PromotionCode, "promo", code=code, code_key=promotion_codes.normalized(code), coupon_id=coupon.id, **members
        )

    def method(
        self, customer: Customer, number: str, expiry: tuple[int, int] = (12, 2031), **members: Any
    ) -> PaymentMethod:
        """Create a card or bank debit that behaves like this test number. The first one is the customer's default."""
        behaviour = test_numbers.find(number)
        assert behaviour is not None
        exp_month, exp_year = expiry if behaviour.type == "card" else (None, None)
        details = {
            "type": behaviour.type,
            "brand": behaviour.brand or None,
            "last4": number[-4:],
            "exp_month": exp_month,
            "exp_year": exp_year,
            "country": behaviour.country,
            "fingerprint": f"{behaviour.type}-{behaviour.brand}-{number[-4:]}",
        }
        sandbox_method = SandboxMethod(reference=new_id("sbxm"), on_charge=behaviour.charge, **details)
        self.session.add(sandbox_method)
        details["funding"] = "credit" if behaviour.type == "card" else None
        columns = {"gateway_reference": sandbox_method.reference, **details, **members}
        return self.payment_method(customer, **columns)

    def tax_id(self, customer: Customer, kind: str, value: str, status: str = "pending") -> TaxId:
        """Create a tax id of a customer."""
        country = tax_ids.country_of(kind, value)
        return self.row(
            TaxId, "txi", customer_id=customer.id, type=kind, value=value, country=country, verification_status=status
        )

"""Changing what customers may do: a portal configuration's settings, their history, and further configurations."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.accounts import versions
from portal_site.billing.accounts.accounts import add_configuration
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Coupon, PortalConfiguration, Price, Product
from portal_site.billing.models.columns import values
from portal_site.billing.resources import portal as shapes
from portal_site.billing.rules.portal import contradictions, portal_features, safe_urls
from portal_site.billing.rules.portal.contradictions import OfferedPrice
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction

# The columns that are settings: those that are compared, kept as history and gone back to.
SETTINGS = (
    "name", "headline", "privacy_policy_url", "terms_of_service_url", "default_return_url", "features", "branding",
)  # fmt: skip
LONGEST_HEADLINE, LONGEST_NAME = 60, 100
MOST = 50  # configurations of an account in a mode


def get(account_id: str, configuration_id: str) -> PortalConfiguration:
    """A configuration of the account. Raises NotFound."""
    with transaction() as session:
        return _get(session, account_id, configuration_id)


def _get(session: Session, account_id: str, configuration_id: str, *, lock: bool = False) -> PortalConfiguration:
    query = select(PortalConfiguration).where(
        PortalConfiguration.account_id == account_id, PortalConfiguration.id == configuration_id
    )
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("No such configuration: '%(id)s'", "resource_missing", "configuration", id=configuration_id)
    return row


def of_account(account_id: str) -> Sequence[PortalConfiguration]:
    """All of an account's configurations: of live mode first, the default first, then by age."""
    with transaction() as session:
        query = select(PortalConfiguration).where(PortalConfiguration.account_id == account_id)
        order = PortalConfiguration.livemode.desc(), PortalConfiguration.is_default.desc(), PortalConfiguration.created
        return session.scalars(query.order_by(*order, PortalConfiguration.id)).all()


def settings_of(row: PortalConfiguration) -> JsonObject:
    """The settings of a configuration; all options of its features are named."""
    return {**values(row, *SETTINGS), "features": portal_features.read(row.features).as_document()}


def _checked_features(session: Session, account_id: str, livemode: bool, document: JsonObject) -> JsonObject:
    """The document with all options. Raises BillingError for what cannot be, with the option as its `param`."""
    try:
        features = portal_features.read(document)
    except ValueError as error:
        raise BillingError("This does not fit together: %(reason)s.", param="features", reason=str(error)) from error
    prices = _prices(session, account_id, livemode, features.subscription_update.all_price_ids)
    for found in contradictions.find(features, prices):
        raise BillingError(found.words, param=found.option)
    _check_offers(session, account_id, livemode, features)
    return features.as_document()


def _check_headline(headline: str | None) -> None:
    if len(headline or "") > LONGEST_HEADLINE:
        raise BillingError("Use at most %(count)s characters.", param="headline", count=LONGEST_HEADLINE)
    if set(headline or "") & set("<>"):
        raise BillingError("A headline is plain text, without < and >.", param="headline")


def _check_name(name: str | None) -> None:
    if len(name or "") > LONGEST_NAME:
        raise BillingError("Use at most %(count)s characters.", param="name", count=LONGEST_NAME)


def _check_words(changed: Mapping[str, Any]) -> None:
    """Only what is changed is checked: what an import brought must not keep somebody from changing something else."""
    _check_headline(changed.get("headline"))
    _check_name(changed.get("name"))
    for name in ("privacy_policy_url", "terms_of_service_url", "default_return_url"):
        if changed.get(name):
            safe_urls.check(changed[name], name)


def _prices(session: Session, account_id: str, livemode: bool, price_ids: Sequence[str]) -> dict[str, OfferedPrice]:
    query = (
        select(Price, Product.name)
        .join(Product, Product.id == Price.product_id)
        .where(Price.account_id == account_id, Price.livemode == livemode, Price.id.in_(price_ids))
        .where(Price.active, Product.active)
    )
    return {
        price.id: OfferedPrice(price.product_id, name, price.currency, price.interval, price.interval_count)
        for price, name in session.execute(query)
    }


def _check_offers(session: Session, account_id: str, livemode: bool, features: Features) -> None:
    """The coupons and plans that are offered to customers who cancel must exist."""
    offers = [rule.offer for rule in features.subscription_cancel.retention.all_rules]
    coupons = {offer.coupon for offer in offers if offer.type == "coupon" and offer.coupon}
    mine = Coupon.account_id == account_id, Coupon.livemode == livemode, Coupon.valid
    known = set(session.scalars(select(Coupon.id).where(*mine, Coupon.id.in_(coupons))))
    if coupons - known:
        raise BillingError(
            "There is no such coupon: %(coupon)s.", param="subscription_cancel.retention", coupon=min(coupons - known)
        )
    prices = {offer.price for offer in offers if offer.type == "price" and offer.price}
    if missing := prices - _prices(session, account_id, livemode, sorted(prices)).keys():
        raise BillingError(
            "There is no such price: %(price)s.", param="subscription_cancel.retention", price=min(missing)
        )


def change(
    account_id: str, configuration_id: str, version: int, changed: Mapping[str, Any], at: int
) -> PortalConfiguration:
    """Store changed settings, complete ones for each name. `version` is that of the settings that were changed.

    The members of `branding` are checked by `branding.theme.parse`, which callers do: the engine knows no colours.

    Raises NotFound, EditConflict if they have been changed since, and BillingError for what cannot be.
    """
    if unknown := changed.keys() - set(SETTINGS):
        raise ValueError(f"no settings: {', '.join(sorted(unknown))}")
    with transaction() as session:
        row = _get(session, account_id, configuration_id, lock=True)
        before = settings_of(row)
        versions.check(row, version, before)
        different = {name: value for name, value in changed.items() if value != before[name]}
        _check_words(different)
        if "features" in different:
            document = _checked_features(session, account_id, row.livemode, different["features"])
            different["features"] = document
        after = {**before, **different}
        if after != before:
            shown, row.updated = _resource(row), at
            versions.store(session, row, account_id, before, after, at)
            now = _resource(row)
            previous = {name: value for name, value in shown.items() if value != now[name]}
            versions.describe(now, previous, before, after)
            emit(session, "billing_portal.configuration.updated", row, at, document=now, previous=previous)
        return row


def _resource(row: PortalConfiguration) -> JsonObject:
    return shapes.configuration(row, with_products=True, login_url=None)


def restore(account_id: str, configuration_id: str, version: int, former: int, at: int) -> PortalConfiguration:
    """Go back to the settings of a former version, as a change of the current `version`. Raises as `change` does."""
    settings = versions.settings_at(account_id, configuration_id, former, SETTINGS)
    return change(account_id, configuration_id, version, settings, at)


def copy(account_id: str, configuration_id: str, name: str, at: int) -> PortalConfiguration:
    """A further configuration that begins as a copy. Raises NotFound, and BillingError without a name or for too many."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise BillingError("Enter a name of up to %(count)s characters.", param="name", count=LONGEST_NAME)
    with transaction() as session:
        source = _get(session, account_id, configuration_id)
        same_mode = PortalConfiguration.account_id == account_id, PortalConfiguration.livemode == source.livemode
        if len(session.scalars(select(PortalConfiguration.id).where(*same_mode)).all()) >= MOST:
            raise BillingError("An account can have %(count)s configurations.", param="name", count=MOST)
        members = {**settings_of(source), "name": name.strip()}
        row = add_configuration(session, account_id, source.livemode, at, is_default=False, members=members)
        emit(session, "billing_portal.configuration.created", row, at, document=_resource(row))
        return row


def set_active(account_id: str, configuration_id: str, active: bool, at: int) -> PortalConfiguration:
    """Switch a configuration on or off: without it, its links lead nowhere. Raises NotFound, BillingError for the default one."""
    with transaction() as session:
        row = _get(session, account_id, configuration_id, lock=True)
        if row.is_default and not active:
            raise BillingError("The default configuration stays active: every link without another one uses it.")
        if row.active != active:
            row.active, row.updated = active, at
            session.flush()
            previous = {"active": not active}
            emit(session, "billing_portal.configuration.updated", row, at, document=_resource(row), previous=previous)
        return row

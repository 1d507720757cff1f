"""The import of an export file: all of it or nothing, in one transaction, and repeatable."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import printed_names, reference_checks
from portal_site.billing.importing.billing_schemas import InvoiceShape
from portal_site.billing.importing.catalog_schemas import AccountShape, BusinessProfileShape
from portal_site.billing.importing.export_files import ImportReport, first_line, parse
from portal_site.billing.importing.field_types import Shape
from portal_site.billing.importing.row_mapping import KINDS
from portal_site.billing.models import (
    Account,
    Discount,
    PortalConfiguration,
    Price,
    PromotionCode,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db import Base
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

Advance = Callable[[int, int], None]
BATCH = 500  # ids per query: both databases accept that many parameters


def import_objects(
    text: bytes,
    at: int,
    account_id: str | None,
    advance: Advance = lambda done, total: None,
    *,
    renew: bool = False,
    live: bool = True,
) -> ImportReport:
    """Import a JSON file {type: [objects]} into an account, in one transaction. Raises ImportRefused.

    Existing objects are not changed. Without `account_id` the account in the file is used, else the only existing account; if
    there is none, one is created. With `renew`, the file's subscriptions are billed here from the end of their current period
    on, which is refused in live mode unless a provider takes `live` payments. Without it they are only shown, since the other
    system may still bill them. `advance` is called with the number of
    stored rows and their total.
    """
    report = ImportReport()
    objects = parse(text, report)
    with transaction() as session:
        account = _account(session, objects, at, account_id)
        # The rows of each object: first the object's own row, then those of its parts.
        groups = [list(KINDS[kind][1](shape, account.id)) for kind, shapes in objects.items() for shape in shapes]
        _refuse_duplicates(groups)
        new_rows = _new_rows(session, groups, account.id, report)
        reference_checks.check(session, new_rows, account.id)
        _copy_codes_to_discounts(session, new_rows, account.id)
        printed_names.complete(account, objects, new_rows)
        _set_missing_quantities(session, new_rows, account.id)
        _keep_one_default_configuration(session, new_rows, account.id)
        _store(session, new_rows, report, advance)
        if renew:
            _refuse_live(objects["subscription"], live)
            _renew(session, [shape.id for shape in objects["subscription"]], account.id, at, report)
        _ensure_default_configuration(session, account.id, {getattr(row, "livemode", False) for row in new_rows}, at)
    return report


def _refuse_duplicates(groups: list[list[Base]]) -> None:
    times = Counter((type(row), row.id) for rows in groups for row in rows)
    for row in (row for rows in groups for row in rows):
        if (count := times[type(row), row.id]) > 1:
            raise ImportRefused(f"{reference_checks.name(row)} is in the file {count} times.")


def _account(session: Session, objects: Mapping[str, list[Shape]], at: int, account_id: str | None) -> Account:
    """The account to import into: the requested one, the file's, the only one, or a new one, in this order."""
    if account_id:
        account = session.get(Account, account_id)
        if account is None:
            raise ImportRefused(f"There is no account {account_id}.")
        return account
    in_file = [shape for shape in objects["account"] if isinstance(shape, AccountShape)]
    if len(in_file) == 1 and (account := session.get(Account, in_file[0].id)):
        return account
    if len(in_file) > 1:
        raise ImportRefused("The file holds several accounts: import one at a time.")
    query = select(Account).limit(2).execution_options(unscoped="an operator imports into the only account")
    existing = session.scalars(query).all()
    if not in_file and len(existing) > 1:
        raise ImportRefused("There are several accounts: name one with --account.")
    if not in_file and existing:
        return existing[0]
    account = _new_account(in_file[0] if in_file else None, objects["invoice"], at)
    session.add(account)
    session.flush()
    return account


def _new_account(shape: AccountShape | None, invoices: list[Shape], at: int) -> Account:
    """A new account from the file. If the file has no account, its name is taken from the first invoice with one."""
    names = (shape.account_name for shape in invoices if isinstance(shape, InvoiceShape) and shape.account_name)
    profile = shape.business_profile if shape else BusinessProfileShape()
    return Account(
        id=shape.id if shape else new_id("acct"),
        created=shape.created if shape else at,
        business_name=profile.name or next(names, None) or "Imported business",
        country=shape.country if shape else None,
        default_currency=shape.default_currency if shape else None,
        support_email=profile.support_email,
        support_phone=profile.support_phone,
        support_url=profile.support_url,
    )


def _new_rows(session: Session, groups: list[list[Base]], account_id: str, report: ImportReport) -> list[Base]:
    """The rows that do not exist yet. Raises ImportRefused for an id that exists in another account."""
    ids: dict[type[Base], list[str]] = {}
    for row in (row for rows in groups for row in rows):
        ids.setdefault(type(row), []).append(row.id)
    owners = {kind: _owners(session, kind, row_ids, account_id) for kind, row_ids in ids.items()}
    new_rows: list[Base] = []
    for rows in groups:
        for row in rows:
            owner = owners[type(row)].get(row.id)
            if owner is None:
                new_rows.append(row)
                continue
            if owner != account_id:
                raise ImportRefused(f"{reference_checks.name(row)} belongs to another account already.")
            report.present += 1
            if row is rows[0]:
                break  # skip the parts of an existing object too: they may have been changed here since
    return new_rows


def _owners(session: Session, kind: Any, ids: list[str], account_id: str) -> dict[str, str]:
    """The account id of each existing row of this model, by the row's id."""
    owners: dict[str, str] = {}
    for start in range(0, len(ids), BATCH):
        query = select(kind.id, kind.account_id).where(kind.id.in_(ids[start : start + BATCH]))
        if kind.__tablename__ == "coupons":  # coupon ids are chosen by merchants and unique per account only
            query = query.where(kind.account_id == account_id)
        query = query.execution_options(unscoped="an id must be nobody else's")
        owners |= {row.id: row.account_id for row in session.execute(query)}
    return owners


def _copy_codes_to_discounts(session: Session, new_rows: list[Base], account_id: str) -> None:
    """Store the text of the promotion code, which customers see, on each discount.

    If the code does not exist, the discount keeps neither text nor id and is shown under its coupon's name. A customer can
    redeem a code only once here, but repeatedly in Stripe, so only a customer's first discount keeps the code's id.
    """
    codes = {row.id: row.code for row in new_rows if isinstance(row, PromotionCode)}
    redeemed: set[tuple[str, str]] = set()
    for row in new_rows:
        if not isinstance(row, Discount) or row.promotion_code_id is None:
            continue
        code_id = row.promotion_code_id
        if code_id not in codes:
            owned = PromotionCode.account_id == account_id, PromotionCode.id == code_id
            codes[code_id] = session.scalar(select(PromotionCode.code).where(*owned)) or ""
        row.promotion_code = codes[code_id] or None
        if not codes[code_id] or (row.customer_id, code_id) in redeemed:
            row.promotion_code_id = None
        redeemed.add((row.customer_id, code_id))


def _set_missing_quantities(session: Session, new_rows: list[Base], account_id: str) -> None:
    """Set the quantity of items without one to 1, except for metered prices."""
    items = [row for row in new_rows if isinstance(row, SubscriptionItem | SchedulePhaseItem) and row.quantity is None]
    usage_types = {row.id: row.usage_type for row in new_rows if isinstance(row, Price)}
    stored_ids = sorted({row.price_id for row in items} - usage_types.keys())
    for start in range(0, len(stored_ids), BATCH):
        query = select(Price.id, Price.usage_type).where(
            Price.account_id == account_id, Price.id.in_(stored_ids[start : start + BATCH])
        )
        usage_types |= {row.id: row.usage_type for row in session.execute(query)}
    for row in items:
        if usage_types[row.price_id] != "metered":
            row.quantity = 1


def _keep_one_default_configuration(session: Session, new_rows: list[Base], account_id: str) -> None:
    """Import a configuration as default only if it is active and its mode has no default configuration yet."""
    query = select(PortalConfiguration.livemode).where(
        PortalConfiguration.account_id == account_id, PortalConfiguration.is_default
    )
    modes_with_default = set(session.scalars(query))
    for row in new_rows:
        if isinstance(row, PortalConfiguration) and row.is_default:
            row.is_default = row.active and row.livemode not in modes_with_default
            modes_with_default |= {row.livemode} if row.is_default else set()


def _store(session: Session, new_rows: list[Base], report: ImportReport, advance: Advance) -> None:
    done = 0
    for table in Base.metadata.sorted_tables:  # sorted by foreign keys: referenced tables come first
        rows = [row for row in new_rows if type(row).__tablename__ == table.name]
        for start in range(0, len(rows), BATCH):
            _insert(session, rows[start : start + BATCH])
            done += len(rows[start : start + BATCH])
            advance(done, len(new_rows))
        if rows:
            report.added[table.name.replace("_", " ")] += len(rows)


def _insert(session: Session, rows: list[Base]) -> None:
    """Insert rows. Raises ImportRefused for a row that the database rejects, which is found by bisection."""
    try:
        with session.begin_nested():
            session.add_all(rows)
    except OperationalError:
        raise  # a fault of the database, not of the file
    except (SQLAlchemyError, OverflowError) as error:
        if len(rows) == 1:
            why = first_line(getattr(error, "orig", None) or error)
            raise ImportRefused(f"{reference_checks.name(rows[0])} cannot be stored: {why}.") from None
        half = len(rows) // 2
        _insert(session, rows[:half])
        _insert(session, rows[half:])


def _refuse_live(subscriptions: list[Any], live: bool) -> None:
    """Raise ImportRefused for a subscription of live mode, where only the sandbox could be asked for its payments."""
    found = next((shape.id for shape in subscriptions if shape.livemode), None)
    if found is not None and not live:
        raise ImportRefused(f"{found} is in live mode, and the sandbox moves no money: import without --renew.")


def _renew(session: Session, ids: list[str], account_id: str, at: int, report: ImportReport) -> None:
    """Make subscriptions due for renewal, except those whose period ended before `at`: the other system had to bill it."""
    for start in range(0, len(ids), BATCH):
        owned = Subscription.account_id == account_id, Subscription.id.in_(ids[start : start + BATCH])
        for subscription in session.scalars(select(Subscription).where(*owned, Subscription.due_at.is_(None))):
            due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
            if subscription.due_at is not None and subscription.due_at <= at:
                subscription.due_at = None
                report.stale += 1
            report.renewed += subscription.due_at is not None


def _ensure_default_configuration(session: Session, account_id: str, modes: set[bool], at: int) -> None:
    """Create a default configuration for each of these modes (`livemode`) without one, since a portal link requires one."""
    for livemode in modes:
        query = select(PortalConfiguration.id).where(
            PortalConfiguration.account_id == account_id,
            PortalConfiguration.livemode == livemode,
            PortalConfiguration.is_default,
        )
        if session.scalar(query) is None:
            session.add(
                PortalConfiguration(
                    id=new_id("bpc"),
                    account_id=account_id,
                    livemode=livemode,
                    created=at,
                    updated=at,
                    is_default=True,
                    features=Features().as_document(),
                )
            )

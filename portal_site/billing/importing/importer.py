"""Taking over another system's objects: all of a file or nothing of it, and never twice."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import reference_checks
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
BATCH = 500  # ids asked for at once: both databases take that many parameters


def import_objects(
    text: bytes,
    at: int,
    account_id: str | None,
    advance: Advance = lambda done, whole: None,
    *,
    renew: bool = False,
) -> ImportReport:
    """Take over a JSON file {type: [objects]} for an account, in one transaction.

    Objects that are there already stay as they are. Without `account_id` the file's own account or the only one there is
    taken, and where there is none, one is made. With `renew` the file's subscriptions are billed here from the end of
    their current period on; without it they are only shown, since the system they come from may still bill them.
    """
    report = ImportReport()
    objects = parse(text, report)
    with transaction() as session:
        account = _account(session, objects, at, account_id)
        found = [list(KINDS[kind][1](shape, account.id)) for kind, shapes in objects.items() for shape in shapes]
        _refuse_twins(found)
        fresh = _fresh(session, found, account.id, report)
        reference_checks.check(session, fresh, account.id)
        _name_codes(session, fresh, account.id)
        _count_ones(session, fresh, account.id)
        _settle_defaults(session, fresh, account.id)
        _store(session, fresh, report, advance)
        if renew:
            _renew(session, [shape.id for shape in objects["subscription"]], account.id, at, report)
        _ensure_default_configuration(session, account.id, {getattr(row, "livemode", False) for row in fresh}, at)
    return report


def _refuse_twins(found: list[list[Base]]) -> None:
    times = Counter((type(row), row.id) for rows in found for row in rows)
    for row in (row for rows in found for row in rows):
        if (count := times[type(row), row.id]) > 1:
            raise ImportRefused(f"{reference_checks.name(row)} is in the file {count} times.")


def _account(session: Session, objects: Mapping[str, list[Shape]], at: int, wanted: str | None) -> Account:
    if wanted:
        found = session.get(Account, wanted)
        if found is None:
            raise ImportRefused(f"There is no account {wanted}.")
        return found
    named = [shape for shape in objects["account"] if isinstance(shape, AccountShape)]
    if len(named) == 1 and (found := session.get(Account, named[0].id)):
        return found
    if len(named) > 1:
        raise ImportRefused("The file holds several accounts: import one at a time.")
    query = select(Account).limit(2).execution_options(unscoped="an operator imports into the only account")
    there = session.scalars(query).all()
    if not named and len(there) > 1:
        raise ImportRefused("There are several accounts: name one with --account.")
    if not named and there:
        return there[0]
    account = _new_account(named[0] if named else None, objects["invoice"], at)
    session.add(account)
    session.flush()
    return account


def _new_account(shape: AccountShape | None, invoices: list[Shape], at: int) -> Account:
    """Named as its own invoices name it, when the file has no account."""
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


def _fresh(session: Session, found: list[list[Base]], account_id: str, report: ImportReport) -> list[Base]:
    """The rows of the objects that are not there yet. Raises ImportRefused for an id that another account has."""
    ids: dict[type[Base], list[str]] = {}
    for row in (row for rows in found for row in rows):
        ids.setdefault(type(row), []).append(row.id)
    owners = {kind: _owners(session, kind, mine, account_id) for kind, mine in ids.items()}
    fresh: list[Base] = []
    for rows in found:
        for row in rows:
            owner = owners[type(row)].get(row.id)
            if owner is None:
                fresh.append(row)
                continue
            if owner != account_id:
                raise ImportRefused(f"{reference_checks.name(row)} belongs to another account already.")
            report.present += 1
            if row is rows[0]:
                break  # with its parts: what has changed here since may not be changed back
    return fresh


def _owners(session: Session, kind: Any, ids: list[str], account_id: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), BATCH):
        query = select(kind.id, kind.account_id).where(kind.id.in_(ids[start : start + BATCH]))
        if kind.__tablename__ == "coupons":  # their ids are free text and may well be the same elsewhere
            query = query.where(kind.account_id == account_id)
        query = query.execution_options(unscoped="an id must be nobody else's")
        found |= {row.id: row.account_id for row in session.execute(query)}
    return found


def _name_codes(session: Session, fresh: list[Base], account_id: str) -> None:
    """Write on discounts the words of their codes, which customers see. A code that is nowhere leaves the coupon's name.

    A customer redeems a code once here, and there as often as the merchant lets it: only the first discount keeps the id.
    """
    codes = {row.id: row.code for row in fresh if isinstance(row, PromotionCode)}
    redeemed: set[tuple[str, str]] = set()
    for row in fresh:
        if not isinstance(row, Discount) or row.promotion_code_id is None:
            continue
        wanted = row.promotion_code_id
        if wanted not in codes:
            mine = PromotionCode.account_id == account_id, PromotionCode.id == wanted
            codes[wanted] = session.scalar(select(PromotionCode.code).where(*mine)) or ""
        row.promotion_code = codes[wanted] or None
        if not codes[wanted] or (row.customer_id, wanted) in redeemed:
            row.promotion_code_id = None
        redeemed.add((row.customer_id, wanted))


def _count_ones(session: Session, fresh: list[Base], account_id: str) -> None:
    """What comes without a quantity is one piece, but for what is metered."""
    bought = [row for row in fresh if isinstance(row, SubscriptionItem | SchedulePhaseItem) and row.quantity is None]
    usage = {row.id: row.usage_type for row in fresh if isinstance(row, Price)}
    elsewhere = sorted({row.price_id for row in bought} - usage.keys())
    for start in range(0, len(elsewhere), BATCH):
        mine = Price.account_id == account_id, Price.id.in_(elsewhere[start : start + BATCH])
        usage |= {row.id: row.usage_type for row in session.execute(select(Price.id, Price.usage_type).where(*mine))}
    for row in bought:
        if usage[row.price_id] != "metered":
            row.quantity = 1


def _settle_defaults(session: Session, fresh: list[Base], account_id: str) -> None:
    """A configuration is the default of its mode only where there is none yet, and only when links can be made with it."""
    query = select(PortalConfiguration.livemode).where(
        PortalConfiguration.account_id == account_id, PortalConfiguration.is_default
    )
    taken = set(session.scalars(query))
    for row in fresh:
        if isinstance(row, PortalConfiguration) and row.is_default:
            row.is_default = row.active and row.livemode not in taken
            taken |= {row.livemode} if row.is_default else set()


def _store(session: Session, fresh: list[Base], report: ImportReport, advance: Advance) -> None:
    done = 0
    for table in Base.metadata.sorted_tables:  # what is referred to comes first
        mine = [row for row in fresh if type(row).__tablename__ == table.name]
        for start in range(0, len(mine), BATCH):
            _keep(session, mine[start : start + BATCH])
            done += len(mine[start : start + BATCH])
            advance(done, len(fresh))
        if mine:
            report.added[table.name.replace("_", " ")] += len(mine)


def _keep(session: Session, rows: list[Base]) -> None:
    """Store rows. Raises ImportRefused for the one that the database does not take, found by halving."""
    try:
        with session.begin_nested():
            session.add_all(rows)
    except OperationalError:
        raise  # the database itself, not what is in the file
    except (SQLAlchemyError, OverflowError) as error:
        if len(rows) == 1:
            why = first_line(getattr(error, "orig", None) or error)
            raise ImportRefused(f"{reference_checks.name(rows[0])} cannot be stored: {why}.") from None
        half = len(rows) // 2
        _keep(session, rows[:half])
        _keep(session, rows[half:])


def _renew(session: Session, ids: list[str], account_id: str, at: int, report: ImportReport) -> None:
    """Put subscriptions on the list of what is due; a period that is over was the other system's to bill."""
    for start in range(0, len(ids), BATCH):
        mine = Subscription.account_id == account_id, Subscription.id.in_(ids[start : start + BATCH])
        for subscription in session.scalars(select(Subscription).where(*mine, Subscription.due_at.is_(None))):
            due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
            if subscription.due_at is not None and subscription.due_at <= at:
                subscription.due_at = None
                report.stale += 1
            report.renewed += subscription.due_at is not None


def _ensure_default_configuration(session: Session, account_id: str, modes: set[bool], at: int) -> None:
    """A link needs a configuration: each mode that has something begins with the defaults."""
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

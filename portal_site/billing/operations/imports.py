"""Taking over another system's objects: all of a file or nothing of it, and never twice."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Account, PortalConfiguration, Subscription
from portal_site.billing.operations import import_rows, pending_updates
from portal_site.billing.operations.import_shapes import SHAPES, AccountShape, InvoiceShape, Shape
from portal_site.billing.rules.portal_features import Features
from portal_site.db import Base, new_id, transaction

Advance = Callable[[int, int], None]
BATCH = 500  # ids asked for at once: both databases take that many parameters


@dataclass
class Report:
    """What an import did."""

    added: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unknown_members: int = 0
    unknown_objects: int = 0
    renewed: int = 0
    stale: int = 0

    def sentence(self) -> str:
        """For the person at the terminal."""
        parts = ", ".join(f"{count} {kind}" for kind, count in self.added.items()) or "nothing new"
        notes = [f"Imported {parts}."]
        if self.present:
            notes.append(f"{self.present} objects were there already and stay as they are.")
        if self.unknown_objects:
            notes.append(f"{self.unknown_objects} objects of other types were left out.")
        if self.unknown_members:
            notes.append(f"{self.unknown_members} members that this version does not know were left out.")
        if self.renewed:
            notes.append(f"{self.renewed} subscriptions are renewed here from the end of their period on.")
        if self.stale:
            notes.append(f"{self.stale} subscriptions ended their period before now: `portal unpark` bills them.")
        return " ".join(notes)


class ImportRefused(BillingError):
    """The file cannot be taken over; nothing of it was. The sentence names the object."""


def import_objects(
    text: bytes,
    at: int,
    account_id: str | None,
    advance: Advance = lambda done, whole: None,
    *,
    renew: bool = False,
) -> Report:
    """Take over a JSON file {type: [objects]} for an account, in one transaction.

    Objects that are there already stay as they are. Without `account_id` the file's own account or the only one there is
    taken, and where there is none, one is made. With `renew` the file's subscriptions are billed here from the end of
    their current period on; without it they are only shown, since the system they come from may still bill them.
    """
    report = Report()
    objects = parse(text, report)
    with transaction() as session:
        account = _account(session, objects, at, account_id)
        rows = [row for kind, shapes in objects.items() for shape in shapes for row in _rows(kind, shape, account.id)]
        fresh = _fresh(session, rows, account.id, report)
        _check_references(session, fresh, account.id)
        _store(session, fresh, report, advance)
        if renew:
            _renew(session, [shape.id for shape in objects["subscription"]], account.id, at, report)
        _ensure_default_configuration(session, account.id, {getattr(row, "livemode", False) for row in fresh}, at)
    return report


def parse(text: bytes, report: Report) -> dict[str, list[Shape]]:
    """The objects of a file by type, each checked. Raises ImportRefused that names the first one that is wrong."""
    try:
        document = json.loads(text)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"The file is not JSON: {type(error).__name__}, {_first_line(error)}.") from None
    if not isinstance(document, dict):
        raise ImportRefused('The file must hold an object with a list of objects for each type, as {"customer": […]}.')
    if b"\\u0000" in text or b"\0" in text:
        raise ImportRefused("The file holds a NUL character, which no text can carry.")
    found: dict[str, list[Shape]] = {kind: [] for kind in SHAPES}
    for kind, listed in document.items():
        members = listed.get("data") if isinstance(listed, Mapping) else listed
        if not isinstance(members, list):
            raise ImportRefused(f"“{kind}” is not a list of objects.")
        if kind not in SHAPES:
            report.unknown_objects += len(members)
            continue
        found[kind] = [_shape(kind, position, member) for position, member in enumerate(members)]
        report.unknown_members += sum(shape.count_unknown() for shape in found[kind])
        _refuse_twins(kind, found[kind])
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120]


def _shape(kind: str, position: int, member: Any) -> Shape:
    try:
        return SHAPES[kind].model_validate(member)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the object"
        name = member.get("id", f"number {position + 1}") if isinstance(member, dict) else f"number {position + 1}"
        raise ImportRefused(f"{kind} {str(name)[:80]}: {where}: {first['msg']}.") from None


def _refuse_twins(kind: str, shapes: list[Shape]) -> None:
    for name, count in Counter(shape.id for shape in shapes).items():
        if count > 1:
            raise ImportRefused(f"{kind} {name} is in the file {count} times.")


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
    profile = (shape.business_profile if shape else None) or {}
    return Account(
        id=shape.id if shape else new_id("acct"),
        created=shape.created if shape else at,
        business_name=profile.get("name") or next(names, None) or "Imported business",
        country=shape.country if shape else None,
        default_currency=shape.default_currency if shape else None,
        support_email=profile.get("support_email"),
        support_phone=profile.get("support_phone"),
        support_url=profile.get("support_url"),
    )


def _rows(kind: str, shape: Shape, account_id: str) -> Iterator[Base]:
    if kind != "account":
        yield from import_rows.MAKERS[kind](shape, account_id)


def _fresh(session: Session, rows: list[Base], account_id: str, report: Report) -> list[Base]:
    """The rows that are not there yet. Raises ImportRefused for an id that another account has."""
    fresh: list[Base] = []
    for kind in dict.fromkeys(type(row) for row in rows):
        mine = [row for row in rows if type(row) is kind]
        owners = _owners(session, kind, [row.id for row in mine], account_id)
        for row in mine:
            owner = owners.get(row.id)
            if owner is None:
                fresh.append(row)
            elif owner != account_id:
                raise ImportRefused(f"{import_rows.name(row)} belongs to another account already.")
            else:
                report.present += 1
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


def _check_references(session: Session, fresh: list[Base], account_id: str) -> None:
    """Everything that is referred to is in the file or in the account, and in the same mode."""
    modes = {(type(row).__tablename__, row.id): getattr(row, "livemode", None) for row in fresh}
    for row in fresh:
        for member, target, wanted in import_rows.references(row):
            key = (target.__tablename__, wanted)
            if key not in modes:
                query = select(target).where(target.id == wanted, target.account_id == account_id)
                found = session.scalar(query)
                if found is None:
                    raise ImportRefused(
                        f"{import_rows.name(row)} refers to {member} {wanted}, which is neither in the file nor here."
                    )
                modes[key] = getattr(found, "livemode", None)
            ours = getattr(row, "livemode", None)
            if ours is not None and modes[key] is not None and ours != modes[key]:
                raise ImportRefused(f"{import_rows.name(row)} refers to {member} {wanted} of the other mode.")


def _store(session: Session, fresh: list[Base], report: Report, advance: Advance) -> None:
    done = 0
    for table in Base.metadata.sorted_tables:  # what is referred to comes first
        mine = [row for row in fresh if type(row).__tablename__ == table.name]
        for start in range(0, len(mine), BATCH):
            session.add_all(mine[start : start + BATCH])
            session.flush()
            done += len(mine[start : start + BATCH])
            advance(done, len(fresh))
        if mine:
            report.added[table.name.replace("_", " ")] += len(mine)


def _renew(session: Session, ids: list[str], account_id: str, at: int, report: Report) -> None:
    """Put subscriptions on the list of what is due; a period that is over was the other system's to bill."""
    for start in range(0, len(ids), BATCH):
        mine = Subscription.account_id == account_id, Subscription.id.in_(ids[start : start + BATCH])
        for subscription in session.scalars(select(Subscription).where(*mine, Subscription.due_at.is_(None))):
            pending_updates.reschedule(session, subscription, pending_updates.items_of(session, subscription), at)
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

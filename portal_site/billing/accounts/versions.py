"""The versions of settings: of two people who change them at once the second is told, and each version is kept."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.actors import current_actor
from portal_site.billing.models import SettingsVersion
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction

AT_ONCE = 50  # versions of a page of the history


class EditConflict(BillingError):
    """Somebody else has changed the settings since they were read. `settings` are the ones that are stored now."""

    def __init__(self, settings: JsonObject, version: int) -> None:
        super().__init__("Somebody else has changed these settings in the meantime.")
        self.settings, self.version = settings, version


class Versioned(Protocol):
    """A row whose settings are versioned: an account, or a portal configuration."""

    id: str
    version: int


def check(row: Versioned, version: int, settings: JsonObject) -> None:
    """Raise EditConflict unless this is the version that is stored."""
    if row.version != version:
        raise EditConflict(settings, row.version)


def store(session: Session, row: Versioned, account_id: str, before: JsonObject, after: JsonObject, at: int) -> None:
    """Put the settings that differ into the row, and keep them as a version. The first change keeps what was before it, too."""
    if row.version == 1:
        session.add(_kept(row, account_id, before, at, None, None))
    for name, value in after.items():
        if before[name] != value:
            setattr(row, name, value)
    row.version += 1
    session.flush()
    actor = current_actor()
    session.add(_kept(row, account_id, after, at, actor.type, actor.id))


def describe(now: JsonObject, previous: JsonObject, before: JsonObject, after: JsonObject) -> None:
    """Add the settings that differ to an event's object and its previous members: Stripe's objects have not all of them."""
    different = [name for name, value in after.items() if before[name] != value]
    now["settings_changed"] = {name: after[name] for name in different}
    previous["settings_changed"] = {name: before[name] for name in different}


def _kept(
    row: Versioned, account_id: str, settings: JsonObject, at: int, actor_type: str | None, actor_id: str | None
) -> SettingsVersion:
    return SettingsVersion(
        account_id=account_id, subject_id=row.id, version=row.version, created=at, actor_type=actor_type,
        actor_id=actor_id, settings=settings,
    )  # fmt: skip


def of_subject(account_id: str, subject_id: str, before: int | None = None) -> Sequence[SettingsVersion]:
    """What the settings were, the newest first: a page of them and one more, below a version if one is given."""
    with transaction() as session:
        query = select(SettingsVersion).where(
            SettingsVersion.account_id == account_id, SettingsVersion.subject_id == subject_id
        )
        if before is not None:
            query = query.where(SettingsVersion.version < before)
        return session.scalars(query.order_by(SettingsVersion.version.desc()).limit(AT_ONCE + 1)).all()


def settings_at(account_id: str, subject_id: str, version: int, names: Sequence[str]) -> Mapping[str, Any]:
    """The settings of a former version. Raises NotFound."""
    with transaction() as session:
        kept = session.get(SettingsVersion, (account_id, subject_id, version))
        if kept is None:
            raise NotFound("There are no such settings.")
        return {name: value for name, value in kept.settings.items() if name in names}

"""The account that an import goes into, the accounts connected to it, and the portal configuration that each mode needs."""

from collections.abc import Sequence

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.reading.sources import Connected
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.schemas.catalog_schemas import AccountShape, BusinessProfileShape
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Account, PortalConfiguration
from portal_site.billing.models import ImportedObject as Imported
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject
from portal_site.ids import new_id

UNNAMED = "Connected account"
STUB = "connected accounts that are not in the files: only their names are known"


def find(reader: Reader, shapes: Sequence[AccountShape], account_id: str | None) -> str | None:
    """The id of the account to import into: the requested one, the file's, or the only one; None for a new one.

    `shapes` are the accounts of the files without those that are connected to another.
    """
    if account_id:
        found = reader.execute(select(Account.id).where(Account.id == account_id)).scalar()
        if found is None:
            raise ImportRefused(f"There is no account {account_id}.")
        return str(found)
    if len(shapes) == 1:
        found = reader.execute(select(Account.id).where(Account.id == shapes[0].id)).scalar()
        if found is not None:
            return str(found)
    if len(shapes) > 1:
        raise ImportRefused("The file holds several accounts: import one at a time.")
    query = (
        select(Account.id)
        .where(Account.platform_id.is_(None))
        .limit(2)
        .execution_options(unscoped="an operator imports into the only account")
    )
    existing = [row[0] for row in reader.execute(query)]
    if not shapes and len(existing) > 1:
        raise ImportRefused("There are several accounts: name one with --account.")
    return existing[0] if existing and not shapes else None


def new(shape: AccountShape | None, name: str | None, at: int) -> Row:
    """A new account from the file. If the file has no account, its name is that of an invoice's sender."""
    return _row(shape, name or "Imported business", at, None)


def _row(shape: AccountShape | None, name: str, at: int, platform_id: str | None, account_id: str | None = None) -> Row:
    profile = shape.business_profile if shape else BusinessProfileShape()
    return Row(
        Account,
        {
            "id": shape.id if shape else account_id or new_id("acct"),
            "platform_id": platform_id,
            "created": shape.created if shape else at,
            "business_name": profile.name or name,
            "country": shape.country if shape else None,
            "default_currency": shape.default_currency if shape else None,
            "support_email": profile.support_email,
            "support_phone": profile.support_phone,
            "support_url": profile.support_url,
            "address": address_of(shape),
        },
    )


def address_of(shape: AccountShape | None) -> JsonObject | None:
    """The address of an account in the files, as it is stored; None where there is none."""
    return shape.address.model_dump(mode="json") if shape and shape.address else None


def connected(
    reader: Reader,
    objects: Sequence[ImportedObject],
    named: dict[str, Connected],
    account: str,
    at: int,
    report: ImportReport,
) -> list[Row]:
    """The new accounts on whose behalf the account bills; `named` has them by id."""
    shapes = {one.id: one.shape for one in objects if isinstance(one.shape, AccountShape)}
    query = select(Account.id, Account.platform_id).where(Account.id.in_(sorted(named)))
    stored = {row[0]: row[1] for row in reader.execute(query)}
    rows = []
    for name, told in named.items():
        if name == account or name in stored:
            continue
        shape = shapes.get(name)
        if not isinstance(shape, AccountShape):
            shape = None
            sentence = (
                f"{told.named_by} refers to connected account {name}, which is neither in the file nor here: "
                f"it is shown as {told.name or UNNAMED}."
            )
            report.find(Result.MISSING, "account", name, STUB, sentence)
        rows.append(_row(shape, told.name or UNNAMED, at, account, name))
    return rows


class DefaultConfigurations:
    """Sees to it that each mode has one default configuration, since a portal link requires one."""

    def __init__(self, account_id: str, at: int) -> None:
        self._account_id, self._at = account_id, at
        self._defaults: dict[bool, str | None] | None = None

    def _load(self, reader: Reader) -> dict[bool, str | None]:
        """The modes with a default; with its id where an earlier import made it up and nobody has touched it since."""
        if self._defaults is None:
            columns = PortalConfiguration.livemode, PortalConfiguration.id, PortalConfiguration.features
            unchanged = PortalConfiguration.updated == PortalConfiguration.created
            imported = select(Imported.id).where(
                Imported.account_id == self._account_id,
                Imported.kind == "billing_portal.configuration",
                Imported.id == PortalConfiguration.id,
            )
            query = select(*columns, and_(unchanged, ~imported.exists())).where(
                PortalConfiguration.account_id == self._account_id, PortalConfiguration.is_default
            )
            ours = Features().as_document()
            self._defaults = {
                livemode: name if made_up and features == ours else None
                for livemode, name, features, made_up in reader.execute(query)
            }
        return self._defaults

    def keep_one(self, session: Session, rows: Sequence[Row], *, dry_run: bool) -> None:
        """Let a new configuration be the default only if it is active and its mode has none yet, or one that was made up."""
        defaults = self._load(session)
        for row in rows:
            if row.model is not PortalConfiguration or not row.is_default:
                continue
            made_up = defaults.get(row.livemode)
            row.values["is_default"] = row.active and (row.livemode not in defaults or made_up is not None)
            if row.is_default:
                defaults[row.livemode] = None
                if made_up is not None and not dry_run:
                    bulk.update(session, PortalConfiguration, [{"id": made_up, "is_default": False}])

    def ensure(self, session: Session, modes: set[bool]) -> None:
        """Store a configuration that allows what is allowed by default for each of these modes without one."""
        for livemode in modes - self._load(session).keys():
            values = {
                "id": new_id("bpc"), "account_id": self._account_id, "livemode": livemode, "created": self._at,
                "updated": self._at, "is_default": True, "features": Features().as_document(),
            }  # fmt: skip
            bulk.insert(session, PortalConfiguration, [Row(PortalConfiguration, values).values])
            self._load(session)[livemode] = None

"""What users do about themselves, as entries of the logs of all accounts that they work for."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.resources import teams as shapes
from portal_site.db.json_columns import JsonObject
from portal_site.staff.models import Membership


def note(session: Session, user_id: str, what: str, at: int, document: JsonObject | None = None) -> None:
    """Say what a user did, such as `signed_in`, and to what, if not to the user; nobody else can do it in the user's name."""
    places = select(Membership.account_id).where(Membership.user_id == user_id).order_by(Membership.account_id)
    with acting_as(ActorType.USER, user_id):
        for account_id in session.scalars(places).all():
            emit(session, f"user.{what}", OfAccount(account_id), at, document=document or shapes.user(user_id))

"""Members of an account's team and invitations to it. Stripe's API has none; these shapes are for the log."""

from portal_site.db.json_columns import JsonObject


def member(user_id: str, email: str, role: str) -> JsonObject:
    """Somebody of a team."""
    return {"object": "team.member", "id": user_id, "email": email, "role": role}


def user(user_id: str) -> JsonObject:
    """A user of the dashboard."""
    return {"object": "user", "id": user_id}


def passkey(passkey_id: str, user_id: str, name: str) -> JsonObject:
    """A passkey of a user of the dashboard."""
    return {"object": "user.passkey", "id": passkey_id, "user": user_id, "name": name}


def invitation(invitation_id: str, email: str, role: str) -> JsonObject:
    """Somebody who was invited into a team."""
    return {"object": "team.invitation", "id": invitation_id, "email": email, "role": role}

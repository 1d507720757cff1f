"""The demo's mailbox: what would have been sent, newest first, with links that can be clicked."""

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, render_template

MOST = 50
blueprint = Blueprint("mailbox", __name__, url_prefix="/demo/mail")


@dataclass(frozen=True)
class StoredEmail:
    """An e-mail in the folder."""

    id: str
    subject: str
    to: str
    text: str
    html: str


@blueprint.before_request
def require_loopback() -> None:
    """As for the demo's other page."""
    from portal_site import demo

    demo.require_loopback()


@blueprint.get("")
def show_mailbox() -> str:
    """The list."""
    files = sorted(_folder().glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True)
    return render_template("demo/mailbox.html", emails=[_read(path) for path in files[:MOST]])


@blueprint.get("/<name>")
def show_email(name: str) -> Response:
    """One e-mail as a mail program shows it. Its styles are its own, and nothing else of it may run."""
    path = _folder() / f"{name}.eml"
    if not name.replace("_", "").isalnum() or not path.exists():
        abort(404)
    email = _read(path)
    response = Response(email.html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    return response


def _folder() -> Path:
    folder: Path = current_app.config["SETTINGS"].mail_folder
    return folder


def _read(path: Path) -> StoredEmail:
    message: EmailMessage = message_from_bytes(path.read_bytes(), policy=default)
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    parts = [part.get_content() if part is not None else "" for part in (text, html)]
    return StoredEmail(path.stem, str(message["Subject"]), str(message["To"]), *parts)

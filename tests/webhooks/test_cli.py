"""`portal webhooks`: what operators see of endpoints, and do for them."""

from pathlib import Path

from sqlalchemy import select

from portal_site import clock
from portal_site.billing.customers import customers
from portal_site.billing.models import Event
from portal_site.billing.webhooks import endpoints, signatures
from portal_site.db import db
from tests.conftest import make_app
from tests.test_cli import Portal, portal  # noqa: F401
from tests.world import reading


def test_endpoints_are_listed_sent_to_again_and_rolled(
    portal: Portal,  # noqa: F811
    tmp_path: Path,
) -> None:
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path)
    account_id = portal("account", "create", "--name", "Acme", "--country", "FR").stdout.strip()
    with app.app_context():
        wanted = {"url": "https://shop.example/hook", "enabled_events": ["*"]}
        made = endpoints.create(account_id, False, wanted, clock.now())
        customers.create(account_id, False, {"name": "Ada"}, clock.now())
        with reading() as reader:
            event_id = reader.execute(select(Event.id).where(Event.type == "customer.created")).scalar_one()
        db.session.remove()
    shown = portal("webhooks", "list").stdout
    assert (made.row.id in shown, made.secret in shown) == (True, False)
    assert portal("webhooks", "resend", event_id, made.row.id).stdout.startswith(f"{event_id} is sent to")
    sent = portal("webhooks", "deliveries", made.row.id).stdout
    assert (event_id in sent, "pending" in sent) == (True, True)
    rolled = portal("webhooks", "roll", made.row.id)
    assert rolled.stderr == f"{made.row.id}: keep the secret, it is not shown again.\n"
    with app.app_context():
        row = endpoints.get(account_id, False, made.row.id)
        assert signatures.secrets_of(row, clock.now()) == [rolled.stdout.strip(), made.secret]
        db.session.remove()
    assert portal("webhooks", "roll", "we_none").stderr == "No such webhook endpoint: 'we_none'\n"
    assert portal("webhooks", "resend", "evt_none", made.row.id).stderr == "No such event: 'evt_none'\n"

"""`portal domain`, and what `portal check` says of domains."""

import json
from pathlib import Path

import pytest

from portal_site.web import hosts
from tests.domains.name_server import NameServer
from tests.test_cli import Portal

HOST = "pay.acme.example"
OWN = "billing.acme.example"  # that of the command's settings


@pytest.fixture
def portal(tmp_path: Path, dns: NameServer, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The command on a folder with one account and one customer, which asks the tests' name server."""
    monkeypatch.setattr("portal_site.domains.dns.Dns", lambda: dns.client)
    command = Portal(tmp_path)
    command.with_database()
    customer = {"id": "cus_one", "object": "customer", "email": "one@acme.example", "created": 1790000000}
    features = {"invoice_history": {"enabled": True}, "payment_method_update": {"enabled": True}}
    configuration = {
        "id": "bpc_one", "object": "billing_portal.configuration", "active": True, "is_default": True, "livemode": False,
        "created": 1790000000, "updated": 1790000000, "features": features, "business_profile": {},
    }  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps({"customer": [customer], "configuration": [configuration]}))
    assert command("import", str(tmp_path / "export.json")).returncode == 0
    return command


def _token(shown: str) -> str:
    return next(line.split()[-1] for line in shown.splitlines() if line.lstrip().startswith("TXT"))


def test_a_domain_from_its_records_to_its_links(portal: Portal, dns: NameServer) -> None:
    asked = portal("domain", "set", "Pay.Acme.example")
    assert asked.returncode == 0
    token = _token(asked.stdout)
    assert asked.stdout.splitlines() == [
        f"{HOST}: not verified yet",
        "Its DNS records:",
        f"  TXT    _portal-challenge.{HOST}  {token}",
        f"  CNAME  {HOST}  {OWN}",
    ]
    checked = portal("domain", "check")
    assert checked.returncode == 1
    assert "There is no such TXT record yet." in checked.stdout
    assert "The host leads nowhere yet." in checked.stdout
    assert checked.stderr == f"{HOST} does not work.\n"
    dns.prove(HOST, token)
    dns.set(HOST, "CNAME", OWN)
    dns.set(OWN, "A", "192.0.2.11")
    checked = portal("domain", "check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "Works since " in checked.stdout
    assert "The host leads here." in checked.stdout
    assert portal("domain", "show").stdout == checked.stdout
    assert portal("link", "--customer", "cus_one").stdout.startswith(f"https://{HOST}/p/session/")
    to = portal("link", "--customer", "cus_one", "--to", "/invoices").stdout
    assert to.startswith(f"https://{HOST}/p/session/")
    assert to.endswith("?to=/invoices\n")
    mailed = portal("link", "--customer", "cus_one", "--flow", "payment_method_update", "--for-email")
    assert mailed.stdout.startswith(f"https://{HOST}/m/"), mailed.stderr
    assert portal("login-page", "bpc_one").stdout.startswith(f"https://{HOST}/login/")
    removed = portal("domain", "remove")
    assert removed.stdout == f"{HOST} is nobody's any more. Remove its DNS records, too.\n"
    assert portal("link", "--customer", "cus_one").stdout.startswith(f"https://{OWN}/p/session/")
    assert portal("login-page", "bpc_one").stdout.startswith(f"https://{OWN}/login/")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "https://pay.acme.example"), "This is no host name. Enter one such as billing.example.com"),
        (("set", OWN), "This host belongs to the portal itself."),
        (("set", "co.uk"), "Names below co.uk belong to different owners."),
        (("set", HOST, "--account", "acct_none"), "No such account: 'acct_none'"),
        (("show",), "This account has no custom domain. `portal domain set` gives it one."),
        (("check",), "This account has no custom domain."),
        (("remove",), "This account has no custom domain."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(portal: Portal, words: tuple[str, ...], said: str) -> None:
    answer = portal("domain", *words)
    assert answer.returncode == 1
    assert answer.stderr.startswith(said)
    assert len(answer.stderr.splitlines()) == 1


def test_an_apex_is_told_of_addresses(portal: Portal) -> None:
    shown = portal("domain", "set", "acme.example").stdout
    assert "ALIAS  acme.example  billing.acme.example" in shown
    assert "(or A and AAAA records with the addresses of billing.acme.example)" in shown


def test_the_check_names_a_domain_that_is_switched_off(
    portal: Portal, dns: NameServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.conftest import make_app
    from tests.world import transaction

    dns.prove(HOST, _token(portal("domain", "set", HOST).stdout))
    assert portal("domain", "check").returncode == 0
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path)
    with app.app_context():
        from portal_site import clock, worker
        from portal_site.billing.models import CustomDomain

        worker.heartbeat(clock.now())
        assert hosts.lookups().owner_of(HOST) is not None
        healthy = portal("check")
        assert "domains: none is switched off" in healthy.stdout
        with transaction() as session:
            row = session.query(CustomDomain).execution_options(unscoped="a test").one()
            row.disabled_at, row.finding, account_id = clock.now(), "different", row.account_id
    found = portal("check")
    assert found.returncode == 1
    assert f"domains: {HOST} of {account_id} is switched off: its TXT record is different" in found.stderr
    assert "run `portal domain check --account ID`" in found.stderr
    assert "Switched off on" in portal("domain", "show").stdout
    assert portal("domain", "check").returncode == 0
    assert "domains: none is switched off" in portal("check").stdout

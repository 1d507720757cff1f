"""The command line: its output, and that every error is one line that says what to do."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from portal_site import cli, locations
from tests.conftest import SECRET, put_empty_database

TOP = locations.TEMPLATES.parent
EXPORT = '{"customer": [{"id": "cus_one", "object": "customer", "email": "one@acme.example", "created": 1790000000}]}'


@dataclass
class Answer:
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Portal:
    """Runs `portal` in this process: a process of its own for each would take most of the suite's time."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **dict.fromkeys(name for name in os.environ if name.startswith("PORTAL_")),
            "PORTAL_SECRET_KEY": SECRET,
            "PORTAL_BASE_URL": "https://billing.acme.example",
            "PORTAL_DATA_DIR": str(folder),
        }

    def with_database(self) -> "Portal":
        """The same after `portal migrate`."""
        put_empty_database(Path(self.environment["PORTAL_DATA_DIR"] or ""))
        return self

    def __call__(self, *words: str, **changed: str) -> Answer:
        environment = {name: value or None for name, value in {**self.environment, **changed}.items()}
        result = CliRunner(env=environment).invoke(cli.main, words, prog_name="portal")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    """The command on a folder of its own."""
    return Portal(tmp_path)


def test_files_that_others_can_read_are_named(portal: Portal, tmp_path: Path) -> None:
    assert portal("migrate").returncode == 0
    database = tmp_path / "portal.db"
    assert locations.opened_to_others(database) is None
    database.chmod(0o644)
    assert locations.opened_to_others(database) is None  # nobody else can enter the folder
    tmp_path.chmod(0o755)
    assert locations.opened_to_others(database) == f"chmod 600 {database}*"
    database.chmod(0o600)
    assert locations.opened_to_others(database) is None
    assert locations.opened_to_others(tmp_path / "absent.db") is None


def test_what_an_import_reports_is_private(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "export.json").write_text(
        '{"invoice": [{"id": "in_one", "object": "invoice", "customer": "cus_gone"}]}'
    )
    assert portal("import", str(tmp_path / "export.json")).returncode == 0
    assert (tmp_path / "import-report.csv").stat().st_mode & 0o777 == 0o600


def test_a_new_installation_creates_a_portal_link(portal: Portal, tmp_path: Path) -> None:
    assert portal("migrate").stdout == "The database is up to date.\n"
    (tmp_path / "export.json").write_text(EXPORT)
    imported = portal("import", str(tmp_path / "export.json"))
    assert (imported.returncode, imported.stdout) == (0, "")
    assert imported.stderr.strip() == "Imported 1 customer."
    for customer in ("cus_one", "one@acme.example"):
        link = portal("link", "--customer", customer, "--locale", "fr", "--return-url", "https://acme.example/account")
        assert re.fullmatch(r"https://billing\.acme\.example/p/session/[\w-]{43}\n", link.stdout)
        assert link.stderr == ""
    checked = portal("check")
    assert checked.returncode == 1
    assert checked.stdout.startswith("settings: ok\nproxy: PORTAL_TRUSTED_PROXIES counts none")
    assert "\ndatabase: reachable\nschema: up to date\ndocuments: " in checked.stdout
    assert checked.stderr == "worker: none has been seen for three minutes. Run `portal worker`.\n"


def test_a_login_page_and_a_sender_are_set_up(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "export.json").write_text(EXPORT)
    portal("import", str(tmp_path / "export.json"))
    with sqlite3.connect(tmp_path / "portal.db") as connection:
        (configuration,) = connection.execute("SELECT id FROM portal_configurations WHERE NOT livemode").fetchone()
    opened = portal("login-page", configuration)
    assert re.fullmatch(r"https://billing\.acme\.example/login/[\w-]{16}\n", opened.stdout)
    assert portal("login-page", configuration).stdout == opened.stdout
    assert portal("login-page", configuration, "--new-url").stdout != opened.stdout
    assert portal("login-page", configuration, "--close").stdout == ""
    assert portal("login-page", "bpc_none").stderr == "No such configuration: 'bpc_none'\n"
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    domain = ("mail", "sender", "--address", "billing@acme.example", "--dkim-domain", "acme.example", "--dkim-key")
    assert "portal._domainkey.acme.example  v=DKIM1; k=rsa; p=MII" in portal(*domain, str(tmp_path / "key.pem")).stdout
    assert "not a private key as PEM" in portal(*domain, str(tmp_path / "export.json")).stderr
    assert portal("mail", "sender", "--reply-to", "nobody").stderr == "Not an e-mail address: nobody\n"
    shown = portal("mail", "preview", "login_code", "--locale", "fr", "--to", str(tmp_path))
    assert shown.returncode == 0
    assert "Votre code de connexion" in (tmp_path / "login_code-fr.html").read_text()
    assert "407913" in (tmp_path / "login_code-fr.txt").read_text()
    assert "No such kind of e-mail: x. There are: authentication_needed" in portal("mail", "preview", "x").stderr
    assert len(portal("mail", "preview", "all", "--to", str(tmp_path / "all")).stdout.splitlines()) == 32
    assert portal("mail", "retry").stderr == "There is nothing that could be sent again.\n"


def test_kinds_of_emails_contacts_and_links_are_set_up(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "export.json").write_text(EXPORT)
    portal("import", str(tmp_path / "export.json"))
    assert "on   unpaid_reminder  3, 0, -7 days before\n" in portal("mail", "kinds").stdout
    changed = portal("mail", "kinds", "trial_ending", "--off", "--days", "14,3")
    assert "off  trial_ending  14, 3 days before\n" in changed.stdout
    for given, words in (
        (("x",), "No such kind of e-mail: x."),
        (("receipt", "--days", "3"), "receipt is no reminder: it has no days."),
        (("trial_ending", "--days", "a"), "--days are whole numbers"),
        (("trial_ending", "--days", "-3"), "trial_ending can only come before its date."),
    ):
        assert words in portal("mail", "kinds", *given).stderr
    who = ("mail", "contact", "--customer", "cus_one")
    added = portal(*who, "--add", "books@acme.example", "--cc", "--kind", "receipt")
    assert added.stdout == "cc  books@acme.example  receipt\n"
    assert "is no billing contact" in portal(*who, "--remove", "x@acme.example").stderr
    assert portal(*who, "--remove", "books@acme.example").stdout == ""
    assert portal("mail", "links", "--days", "7").stdout == "Links in e-mails work for 7 days.\n"
    assert portal("mail", "links", "--days", "91").stderr == "Links can work for 1 to 90 days.\n"
    assert "lead nowhere any more" in portal("mail", "links", "--revoke", "cus_one").stdout
    opened = portal("cancellation-page")
    assert re.fullmatch(r"https://billing\.acme\.example/cancel/[\w-]{16}\n", opened.stdout)
    assert portal("cancellation-page").stdout == opened.stdout
    assert portal("cancellation-page", "--close").stdout == ""
    link = portal("link", "--customer", "cus_one", "--flow", "payment_method_update", "--for-email")
    assert link.stdout.startswith("https://billing.acme.example/m/")
    assert "--for-email goes with --flow" in portal("link", "--customer", "cus_one", "--for-email").stderr


def test_a_key_is_shown_once_listed_rolled_and_revoked(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    assert portal("key", "list").stderr == "No such account: ''\n"
    (tmp_path / "export.json").write_text(EXPORT)
    portal("import", str(tmp_path / "export.json"))
    made = portal("key", "create", "--name", "Shop", "--allow", "customer_portal=write")
    key_id = made.stderr.partition(":")[0]
    assert re.fullmatch(r"rk_test_\w{44}\n", made.stdout)
    assert re.fullmatch(r"key_\w{24}: keep the key, it is not shown again.\n", made.stderr)
    assert portal("key", "create", "--live").stdout.startswith("sk_live_")
    assert portal("key", "create", "--allow", "customers").stderr.startswith("--allow takes a right and a level")
    assert "The rights are customers, customer_portal" in portal("key", "create", "--allow", "all=read").stderr
    listed = portal("key", "list").stdout
    assert made.stdout.strip() not in listed
    assert key_id in listed
    assert made.stdout.strip()[-4:] in listed
    rolled = portal("key", "roll", key_id, "--keep-hours", "24")
    assert rolled.stdout != made.stdout
    assert portal("key", "revoke", key_id).stdout == f"rk_test_…{made.stdout.strip()[-4:]} works no more.\n"
    assert portal("key", "revoke", key_id).stderr == "This key has ended already.\n"
    assert portal("key", "roll", "key_none").stderr == "No such API key: 'key_none'\n"


def test_a_test_clock_is_created_and_advanced(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "export.json").write_text(EXPORT)
    portal("import", str(tmp_path / "export.json"))
    made = portal("clock", "create", "--at", "2026-01-31", "--name", "January")
    clock_id = made.stdout.strip()
    assert re.fullmatch(r"clock_\w{24}", clock_id)
    attached = portal("clock", "attach", clock_id, "one@acme.example")
    assert attached.stderr == "one@acme.example lives at 2026-01-31 00:00:00 UTC now.\n"
    moved = portal("clock", "advance", clock_id, "--to", "2026-03-01 12:00:00")
    assert moved.stderr == f"It is 2026-03-01 12:00:00 UTC for the customers of {clock_id}.\n"
    back = portal("clock", "advance", clock_id, "--to", "2026-02-01")
    assert (back.returncode, back.stderr) == (1, "A test clock moves forward, by at most ten years at once.\n")
    for words in (("attach", "clock_none", "cus_one"), ("advance", "clock_none", "--to", "2026-02-01")):
        assert portal("clock", *words).stderr == "No such test clock: 'clock_none'\n"
    assert portal("clock", "attach", clock_id, "cus_none").stderr == "No such customer: 'cus_none'\n"
    assert portal("unpark", "sub_none").stderr == "No such subscription: 'sub_none'\n"
    assert portal("refund", "in_none").stderr == "Nothing was paid here of the invoice 'in_none'.\n"
    assert portal("draft", "list").stderr == "There are no drafts.\n"
    for verb in ("finalize", "discard"):
        assert portal("draft", verb, "in_none").stderr == "No such invoice: 'in_none'\n"


@pytest.mark.parametrize(
    ("words", "changed", "said"),
    [
        (("check",), {"PORTAL_SECRET_KEY": ""}, "PORTAL_SECRET_KEY is missing"),
        (("check",), {"PORTAL_BASE_URL": "nonsense"}, "PORTAL_BASE_URL must be"),
        (("check",), {"PORTAL_DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "Check PORTAL_DATABASE_URL"),
        (("check",), {"PORTAL_DATABASE_URL": "sqlite:////dev/null/portal.db"}, "Check PORTAL_DATABASE_URL"),
        (("check",), {}, "Run `portal migrate`"),
        (("link", "--customer", "cus_one"), {}, "run `portal migrate`"),
        (("import", "nowhere.json"), {}, "Cannot read nowhere.json"),
        (("import", "."), {}, "Cannot read ."),
    ],
)
def test_errors_are_one_line(portal: Portal, words: tuple[str, ...], changed: dict[str, str], said: str) -> None:
    result = portal(*words, **changed)
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_missing_objects_are_one_line(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "export.json").write_text(EXPORT)
    assert "not JSON" in portal("import", str(tmp_path / "bad.json")).stderr
    assert "No such customer: 'cus_none'" in portal("link", "--customer", "cus_none").stderr
    portal("import", str(tmp_path / "export.json"))
    assert "No such configuration" in portal("link", "--customer", "cus_one", "--configuration", "bpc_none").stderr
    assert "must begin with http" in portal("link", "--customer", "cus_one", "--return-url", "javascript:x").stderr
    assert portal("link", "--customer", "cus_one", "--to", "/invoices").stdout.endswith("?to=/invoices\n")
    for to in ("//evil.example", "/nothing", "/log-out", ""):
        refused = portal("link", "--customer", "cus_one", "--to", to)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "--to must be a page of the portal's, such as /invoices.\n"
    for locale in ("zz", "", "fr_FR", "x" * 3000):
        refused = portal("link", "--customer", "cus_one", "--locale", locale)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "Unknown locale: use auto, or a locale such as en, en-GB, fr or fr-CA.\n"
    assert portal("link", "--customer", "cus_one", "--locale", "de").returncode == 0
    flow = ("link", "--customer", "cus_one", "--flow")
    assert portal(*flow, "payment_method_update", "--message", "Thanks").returncode == 0
    for words, said in (
        ("subscription_pause", "--flow subscription_pause needs --subscription."),
        ("subscription_update_confirm --subscription sub_x", "needs --item, and what becomes of it."),
        ("customer_update --coupon x", "--coupon goes with --flow subscription_cancel or subscription_update_confirm."),
        ("customer_update --then javascript:x", "Not a valid URL: it must begin with http:// or https://."),
        ("customer_update --then home --message x", "which --then replaces."),
        ("subscription_cancel --subscription sub_x", "No such subscription: 'sub_x'"),
    ):
        refused = portal(*flow, *words.split())
        assert (refused.returncode, refused.stdout) == (1, "")
        assert said in refused.stderr
    assert "Try 'portal" in portal("nonsense").stderr or "No such command" in portal("nonsense").stderr


@pytest.mark.case("D21")
@pytest.mark.parametrize(
    "words",
    [
        "link --customer X",
        "link --customer cus_one --return-url https://acme.example/X",
        "unpark X",
        "draft finalize X",
        "refund X",
        "draft list --account X",
        "clock attach X Y",
    ],
)
def test_undecodable_bytes_are_one_line(portal: Portal, words: str) -> None:
    portal.with_database()
    result = portal(*words.replace("X", "\udcff").split())
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


def test_a_port_that_is_taken_is_one_line(portal: Portal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = portal("run", "--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "Choose another with --port." in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["nonsense.invalid", "", "a" * 300, "203.0.113.7", "[::1", "127.0.0.1:99"])
def test_an_address_of_another_machine_is_one_line(portal: Portal, host: str) -> None:
    result = portal("run", "--host", host)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"Cannot listen on .*\. Choose another with --(host|port)\.\n", result.stderr)


def test_a_piped_command_prints_no_progress(portal: Portal, tmp_path: Path) -> None:
    portal.with_database()
    (tmp_path / "export.json").write_text(EXPORT)
    environment = {
        **os.environ,
        **{name: value for name, value in portal.environment.items() if value},
        "PYTHONPATH": str(TOP),
    }
    command = [sys.executable, "-m", "portal_site.cli", "import", str(tmp_path / "export.json")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "Imported 1 customer.\n"


@pytest.mark.parametrize("words", [(), ("sub_one", "--all"), ("--cause", "full"), ("sub_one", "--cause", "full")])
def test_what_to_unpark_is_said_in_one_way(portal: Portal, words: tuple[str, ...]) -> None:
    portal.with_database()
    refused = portal("unpark", *words)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Name one SUBSCRIPTION, or write --all")
    assert portal("unpark", "--all").stdout == "0 are billed again with the worker's next run.\n"
    assert portal("unpark", "--all", "--cause", "100 % full").stdout.startswith("0 are billed")

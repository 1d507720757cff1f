"""What a passkey proves, and what it does not: on both databases, with a passkey in software."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import Event
from portal_site.db.transactions import reading, transaction
from portal_site.staff import passkeys, second_step, sessions, sign_in, teams, users
from portal_site.staff.models import Passkey, RecoveryCode, UsedChallenge, User
from portal_site.staff.passkeys import Answer, Ceremony, RelyingParty, Request
from portal_site.staff.sign_in import PasswordAccepted, TooManyTries
from tests import world
from tests.dashboard.authenticator import HOST, ORIGIN, Authenticator, named
from tests.dashboard.staff import Employee, account, employ

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
PARTY = RelyingParty(HOST, ORIGIN)
NOT_ACCEPTED = "not accepted"


@dataclass
class Owner:
    """Somebody with an app, who may add passkeys."""

    employee: Employee
    account_id: str
    device: Authenticator = field(default_factory=Authenticator)

    @property
    def id(self) -> str:
        return self.employee.user_id

    def add(self, device: Authenticator | None = None, *, at: int = AT, **lies: str) -> Passkey:
        """Add a passkey; the newest one."""
        answer = (device or self.device).create(passkeys.ask_to_add(PARTY, self.id, at), **lies)
        passkeys.add(PARTY, self.id, answer, " My   phone ", at, first=False)
        return passkeys.of_user(self.id)[-1]

    def ask(self, ceremony: Ceremony = Ceremony.SIGN_IN, at: int = AT) -> Request:
        asked = passkeys.ask_to_use(PARTY, self.id, ceremony, at)
        assert asked
        return asked

    def sign_in(self, answer: Answer, at: int = AT) -> User:
        return sign_in.check_passkey(PasswordAccepted(self.id, AT - 3600, at), PARTY, answer, at)

    def lose_app(self) -> None:
        with transaction() as session:
            session.get_one(User, self.id).totp_confirmed_at = None


@pytest.fixture
def ada(app: Flask) -> Owner:
    with time_machine.travel(AT - 3600, tick=False):
        account_id = account()
        return Owner(employ(account_id), account_id)


def _other() -> Owner:
    with time_machine.travel(AT - 3600, tick=False):
        account_id = account()
        return Owner(employ(account_id, email="eve@lumen.example", name="Eve"), account_id)


def _events(user_id: str) -> list[str]:
    with reading() as reader:
        query = select(Event.type).where(Event.actor_id == user_id).execution_options(unscoped="mine")
        return list(reader.scalars(query.order_by(Event.sequence)))


@NOW
def test_a_passkey_is_added_and_lets_in(app: Flask, ada: Owner) -> None:
    row = ada.add()
    assert (row.name, row.sign_count, row.last_used_at, row.transports) == ("My phone", 0, None, "internal hybrid")
    asked = ada.ask()
    assert named(asked, "allowCredentials") == [ada.device.id]
    assert json.loads(asked.options)["userVerification"] == "preferred"
    assert ada.sign_in(ada.device.get(asked)).id == ada.id
    assert passkeys.of_user(ada.id)[0].last_used_at == AT
    passkeys.remove(ada.id, row.id, AT)
    assert passkeys.ask_to_use(PARTY, ada.id, Ceremony.SIGN_IN, AT) is None
    events = ["user.passkey_added", "user.passkey_used", "user.signed_in", "user.passkey_removed"]
    assert _events(ada.id) == events


@NOW
def test_what_the_browser_is_asked(app: Flask, ada: Owner) -> None:
    ada.add()
    asked = json.loads(passkeys.ask_to_add(PARTY, ada.id, AT).options)
    assert (asked["rp"], asked["attestation"]) == ({"id": HOST, "name": "Portal Site"}, "none")
    assert asked["user"]["name"] == ada.employee.email
    assert named(passkeys.ask_to_add(PARTY, ada.id, AT), "excludeCredentials") == [ada.device.id]
    assert (
        len({passkeys.ask_to_add(PARTY, ada.id, AT).options for _ in range(3)}) == 3
    )  # a challenge of its own for each


@NOW
@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:8001"},
        {"host": "evil.example"},
        {"challenge": "AAAA"},
        {"type": "webauthn.neither"},
    ],
)
def test_what_was_said_elsewhere_counts_nowhere(app: Flask, ada: Owner, lies: dict[str, str]) -> None:
    with pytest.raises(BillingError, match=NOT_ACCEPTED):
        ada.add(**lies)
    assert list(passkeys.of_user(ada.id)) == []
    ada.add()
    with pytest.raises(BillingError, match=NOT_ACCEPTED):
        ada.sign_in(ada.device.get(ada.ask(), **lies))
    assert passkeys.of_user(ada.id)[0].last_used_at is None


@NOW
def test_an_answer_counts_once(app: Flask, ada: Owner) -> None:
    added = ada.device.create(passkeys.ask_to_add(PARTY, ada.id, AT))
    passkeys.add(PARTY, ada.id, added, "Phone", AT, first=False)
    with pytest.raises(BillingError, match="sent already"):
        passkeys.add(PARTY, ada.id, added, "Phone", AT, first=False)
    used = ada.device.get(ada.ask())
    assert ada.sign_in(used).id == ada.id
    with pytest.raises(BillingError, match="sent already"):
        ada.sign_in(used)
    wrong = ada.device.get(ada.ask(), origin="https://evil.example")
    with pytest.raises(BillingError, match=NOT_ACCEPTED):
        ada.sign_in(wrong)
    with pytest.raises(BillingError, match="sent already"):  # a wrong answer has used the challenge up, too
        ada.sign_in(ada.device.get(Request(json.dumps({"challenge": "AAAA"}), wrong.state)))


@NOW
def test_of_the_same_answer_at_once_one_lets_in(app: Flask, ada: Owner) -> None:
    ada.add()
    answer, start = ada.device.get(ada.ask()), threading.Barrier(4)

    def enter(_number: int) -> bool:
        with app.app_context():
            start.wait()
            try:
                ada.sign_in(answer)
            except BillingError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(enter, range(4))) == [False, False, False, True]


@NOW
def test_a_challenge_does_not_wait(app: Flask, ada: Owner) -> None:
    late = ada.device.create(passkeys.ask_to_add(PARTY, ada.id, AT - passkeys.LIFE - 1))
    with pytest.raises(BillingError, match="took too long"):
        passkeys.add(PARTY, ada.id, late, "Phone", AT, first=False)
    ada.add(at=AT - passkeys.LIFE)
    old = ada.device.get(ada.ask(at=AT - passkeys.LIFE - 1))
    with pytest.raises(BillingError, match="took too long"):
        ada.sign_in(old)
    with pytest.raises(BillingError, match="took too long"):  # the password was long ago
        accepted = PasswordAccepted(ada.id, AT - 3600, AT - 601)
        sign_in.check_passkey(accepted, PARTY, ada.device.get(ada.ask()), AT)
    sessions.remove_old_rows(AT + passkeys.LIFE + 1)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(UsedChallenge)) == 0


@NOW
def test_a_challenge_is_for_one_user_and_one_thing(app: Flask, ada: Owner) -> None:
    eve = _other()
    ada.add()
    eve.add()
    hers = ada.ask()
    for answer in (
        eve.device.get(hers),  # a foreign passkey
        ada.device.get(eve.ask()),  # a foreign challenge
        ada.device.get(ada.ask(Ceremony.PROVE)),
        ada.device.get(passkeys.ask_to_add(PARTY, ada.id, AT)),
        Answer(ada.device.get(hers).credential, "nothing of ours"),
    ):
        with pytest.raises(BillingError, match=NOT_ACCEPTED):
            ada.sign_in(answer)
    ada.device.handle, eve.device.handle = eve.device.handle, ada.device.handle
    with pytest.raises(BillingError, match=NOT_ACCEPTED):
        ada.sign_in(ada.device.get(ada.ask()))
    with pytest.raises(BillingError, match="in use already"):
        eve.add(ada.device)


@NOW
def test_a_copy_is_found_by_its_count(app: Flask, ada: Owner) -> None:
    ada.device.count = 7
    ada.add()
    for count, accepted in ((8, True), (8, False), (7, False), (0, False), (12, True)):
        ada.device.count = count
        answer = ada.device.get(ada.ask())
        if accepted:
            ada.sign_in(answer)
        else:
            with pytest.raises(BillingError, match=NOT_ACCEPTED):
                ada.sign_in(answer)
    assert passkeys.of_user(ada.id)[0].sign_count == 12


@NOW
def test_as_a_proof_it_has_to_know_its_user(app: Flask, ada: Owner) -> None:
    ada.device.verifies = False
    ada.add()
    ada.sign_in(ada.device.get(ada.ask()))  # beside the password, having it is enough
    asked = ada.ask(Ceremony.PROVE)
    assert json.loads(asked.options)["userVerification"] == "required"
    with pytest.raises(BillingError, match=NOT_ACCEPTED):
        sign_in.prove_with_passkey(ada.id, PARTY, ada.device.get(asked), AT)
    ada.device.verifies = True
    sign_in.prove_with_passkey(ada.id, PARTY, ada.device.get(ada.ask(Ceremony.PROVE)), AT)


@NOW
def test_whatever_is_sent_is_refused_in_plain_words(app: Flask, ada: Owner) -> None:
    ada.add()
    good, chance = ada.device.get(ada.ask()).credential, random.Random(7)
    broken = ["{", "null", "[]", "[" * 9000, '{"id": 1}', good.replace("A", "\0"), good + " " * passkeys.LONGEST_ANSWER]
    for _ in range(60):
        at = chance.randrange(len(good))
        broken.append(good[:at] + chance.choice('AZaz09-_{}"\\é') + good[at + 1 :])
    for credential in broken:
        for ceremony in (Ceremony.SIGN_IN, Ceremony.ADD):
            asked = ada.ask() if ceremony is Ceremony.SIGN_IN else passkeys.ask_to_add(PARTY, ada.id, AT)
            answer = Answer(credential, asked.state)
            sign_in._forget(sign_in._subject("passkey", ada.id))
            with pytest.raises(BillingError, match=NOT_ACCEPTED):
                if ceremony is Ceremony.SIGN_IN:
                    ada.sign_in(answer)
                else:
                    passkeys.add(PARTY, ada.id, answer, "Phone", AT, first=False)
    with pytest.raises(BillingError, match="need JavaScript"):
        ada.sign_in(Answer("", ada.ask().state))


@NOW
def test_tries_are_counted(app: Flask, ada: Owner) -> None:
    ada.add()
    for _ in range(sign_in.MOST_PASSKEYS):
        with pytest.raises(BillingError, match=NOT_ACCEPTED):
            ada.sign_in(Answer("{}", ada.ask().state))
    with pytest.raises(TooManyTries):
        ada.sign_in(ada.device.get(ada.ask()))
    accepted = PasswordAccepted(ada.id, AT - 3600, AT)
    assert sign_in.check_second_step(accepted, ada.employee.code(), AT).id == ada.id  # codes are counted apart


@NOW
def test_the_last_second_step_stays(app: Flask, ada: Owner) -> None:
    with pytest.raises(BillingError, match="only second step"):
        second_step.remove_app(ada.id, AT)
    first = ada.add()
    second_step.remove_app(ada.id, AT)
    with pytest.raises(BillingError, match="only second step"):
        passkeys.remove(ada.id, first.id, AT)
    second = ada.add(Authenticator(), at=AT + 1)
    passkeys.remove(ada.id, first.id, AT)
    with pytest.raises(BillingError, match="only second step"):
        passkeys.remove(ada.id, second.id, AT)
    with pytest.raises(NotFound):
        passkeys.remove(_other().id, second.id, AT)
    assert second_step.of_user(ada.id) == second_step.SetUp(has_app=False, has_passkey=True)


@NOW
def test_with_the_first_second_step_come_recovery_codes(app: Flask, ada: Owner) -> None:
    ada.lose_app()
    asked = [passkeys.ask_to_add(PARTY, ada.id, AT) for _ in range(2)]
    codes = passkeys.add(PARTY, ada.id, ada.device.create(asked[0]), "Phone", AT, first=True)
    assert len(codes) == 10
    with pytest.raises(BillingError, match="set up already"):  # a thief with the password alone comes too late
        passkeys.add(PARTY, ada.id, Authenticator().create(asked[1]), "Thief", AT, first=True)
    secret = second_step.new_secret()
    code = Employee(ada.id, "", second_step.read_secret(secret) or "").code(AT)
    assert second_step.confirm(ada.id, secret, code, AT) is None
    assert second_step.confirm(ada.id, secret, code, AT, first=False) == []  # the codes of before stay
    assert users.recovery_codes_left(ada.id) == 10
    accepted = PasswordAccepted(ada.id, AT - 3600, AT)
    assert sign_in.check_second_step(accepted, codes[0], AT).id == ada.id


@NOW
def test_a_passkey_alone_is_a_second_step_everywhere(app: Flask, ada: Owner) -> None:
    ada.add()
    ada.lose_app()
    full = sessions.find(sessions.open_session(ada.id, "", AT, second_step=True), AT)
    assert full
    assert full.has_second_step
    assert sessions.find(sessions.open_session(ada.id, "", AT, second_step=False), AT) is None
    assert [one.has_second_step for one in teams.members(ada.account_id)] == [True]
    eve = _other()
    eve.lose_app()
    theirs = sessions.find(sessions.open_session(eve.id, "", AT, second_step=False), AT)
    assert theirs
    assert not theirs.has_second_step  # it is nobody else's
    assert not second_step.of_user(eve.id).is_done
    assert [one.has_second_step for one in teams.members(eve.account_id)] == [False]


@NOW
@pytest.mark.parametrize("by", ["operator", "owner"])
def test_who_has_lost_everything_starts_anew(app: Flask, ada: Owner, by: str) -> None:
    ada.add()
    token = sessions.open_session(ada.id, "", AT, second_step=True)
    if by == "operator":
        users.reset(ada.employee.email, AT)
    else:
        teams.reset_second_step(ada.account_id, ada.id, AT)
    assert list(passkeys.of_user(ada.id)) == []
    assert not second_step.of_user(ada.id).is_done
    assert sessions.find(token, AT) is None
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == ada.id)) == 0


@NOW
def test_there_are_not_endlessly_many(app: Flask, ada: Owner) -> None:
    for _ in range(passkeys.MOST):
        ada.add(Authenticator())
    with pytest.raises(BillingError, match="20 passkeys already"):
        ada.add(Authenticator())
    for name in ("", " ", "x" * 61):
        with pytest.raises(BillingError, match="Enter a name"):
            passkeys.add(PARTY, ada.id, Answer("", ""), name, AT, first=False)

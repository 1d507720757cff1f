"""A payment provider on loopback that answers as Stripe does, as far as the gateway asks, and loses answers when it is told to.

Numbers decide: pm_ok is paid, pm_declined is declined, pm_asks wants the customer, pm_slow is a debit that takes days.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Document = dict[str, Any]
KEY = "sk_test_double"
LISTS = (
    "customers",
    "sessions",
    "setup_intents",
    "payment_methods",
    "refunds",
    "payment_intents",
    "disputes",
    "events",
    "webhook_endpoints",
)


class Refused(Exception):
    """An answer with an error: its status and members."""

    def __init__(self, status: int, kind: str = "invalid_request_error", **members: Any) -> None:
        super().__init__(kind)
        self.status, self.body = status, {"error": {"type": kind, "message": "No.", **members}}


@dataclass
class Double:
    """What it knows, and what happens to the next answers: `lose` (after the work), `drop` (before it), or a status."""

    port: int = 0
    made: int = 0
    objects: dict[str, Document] = field(default_factory=dict)
    answers: dict[str, tuple[str, int, Document]] = field(default_factory=dict)  # by idempotency key
    faults: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lacks: set[str] = field(default_factory=set)  # paths that the key may not call

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def charged(self) -> int:
        """How much money moved here."""
        return sum(
            one["amount"] for one in self.objects.values() if one.get("status") == "succeeded" and "refund" not in one
        )

    def new(self, prefix: str, **members: Any) -> Document:
        """A new object."""
        self.made += 1
        document = {"id": f"{prefix}_{self.made}", **members}
        self.objects[document["id"]] = document
        return document

    def find(self, name: str) -> Document:
        """The object with this id."""
        if name not in self.objects:
            raise Refused(404, code="resource_missing", param="id")
        return self.objects[name]

    def answer(self, method: str, path: str, params: Document, key: str | None) -> tuple[int, Document]:
        """The answer to a call; the same key gets the same one again."""
        what = f"{path}?{json.dumps(params, sort_keys=True)}"
        if key is not None and key in self.answers:
            before, status, document = self.answers[key]
            if before != what:
                return 400, Refused(400, "idempotency_error").body
            return status, document
        try:
            status, document = 200, self._do(method, path.removeprefix("/v1/").split("/"), params)
        except Refused as refusal:
            status, document = refusal.status, refusal.body
        document = json.loads(json.dumps(document))  # what was said once is not changed by what happens later
        if key is not None:
            self.answers[key] = what, status, document
        return status, document

    def _do(self, method: str, path: list[str], params: Document) -> Document:
        if path[0] in self.lacks:
            raise Refused(403)
        if method == "GET":
            return self._found(path, params)
        if method == "DELETE":
            return {"id": self.objects.pop(self.find(path[-1])["id"])["id"], "deleted": True}
        match path:
            case ["payment_intents", name, "confirm"]:
                return self._confirm(self.find(name), params)
            case ["payment_intents", name, "cancel"]:
                return self._cancel(self.find(name))
            case ["payment_methods", name, "detach"]:
                self.find(name)["customer"] = None
                return self.find(name)
            case ["refunds"]:
                return self._refund(params)
            case ["webhook_endpoints", name]:
                return self._change_endpoint(self.find(name), params)
        return self._created(path, params)

    def _found(self, path: list[str], params: Document) -> Document:
        if path == ["account"]:
            return {"id": "acct_double", "object": "account", "country": "FR", "default_currency": "eur"}
        if path[-1] in LISTS:
            return self._listed(path[-1], params)
        found = self.find(path[-1])
        expanded = params.get("expand[0]")
        return {**found, expanded: self.find(found[expanded])} if isinstance(found.get(expanded), str) else found

    def _created(self, path: list[str], params: Document) -> Document:
        if path == ["customers"]:
            return self.new("cus", object="customer", **params)
        if path == ["checkout", "sessions"]:
            return self.new(
                "cs", object="checkout.session", status="open", url=f"{self.address}/pay", setup_intent=None
            )
        if path == ["webhook_endpoints"]:
            return self._new_endpoint(params)
        if path != ["payment_intents"]:
            raise Refused(404)
        return self.new(
            "pi", object="payment_intent", amount=int(params["amount"]), currency=params["currency"],
            status="requires_confirmation", payment_method=params["payment_method"], metadata=_metadata(params),
            customer=params.get("customer"), last_payment_error=None, next_action=None,
            on_behalf_of=params.get("on_behalf_of"), transfer_data=params.get("transfer_data[destination]"),
        )  # fmt: skip

    def _new_endpoint(self, params: Document) -> Document:
        if not params["url"].startswith("https://"):
            raise Refused(400, code="url_invalid", param="url")
        made = self.new(
            "we", object="webhook_endpoint", url=params["url"], enabled_events=_all_of(params, "enabled_events"),
            api_version=params.get("api_version"), metadata=_metadata(params), status="enabled",
            connect=params.get("connect"),
        )  # fmt: skip
        return {**made, "secret": f"whsec_of_{made['id']}"}

    def _change_endpoint(self, endpoint: Document, params: Document) -> Document:
        endpoint["enabled_events"] = _all_of(params, "enabled_events")
        endpoint["status"] = "disabled" if params.get("disabled") == "true" else "enabled"
        return endpoint

    def _cancel(self, intent: Document) -> Document:
        if intent["status"] in ("succeeded", "processing"):
            raise Refused(400, code="payment_intent_unexpected_state", payment_intent=intent)
        intent["status"] = "canceled"
        return intent

    def _listed(self, kind: str, params: Document) -> Document:
        prefix = {"payment_intents": "pi_", "refunds": "re_", "webhook_endpoints": "we_", "events": "evt_"}.get(
            kind, "none_"
        )
        mine = [
            one
            for name, one in self.objects.items()
            if name.startswith(prefix)
            and params.get("customer") in (None, one.get("customer"))
            and params.get("payment_intent") in (None, one.get("payment_intent"))
            and int(params.get("created[gte]", 0)) <= one.get("created", 0) <= int(params.get("created[lte]", 2**40))
        ]
        return {"object": "list", "url": f"/v1/{kind}", "has_more": False, "data": mine}

    def _confirm(self, intent: Document, params: Document) -> Document:
        if intent["status"] not in ("requires_confirmation", "requires_payment_method"):
            raise Refused(400, code="payment_intent_unexpected_state", payment_intent=intent)
        off_session, number = params.get("off_session") == "true", intent["payment_method"]
        if number == "pm_gone":
            raise Refused(400, code="resource_missing", param="payment_method")
        if number == "pm_declined" or (number == "pm_asks" and off_session):
            code = {"code": "authentication_required"} if number == "pm_asks" else {
                "code": "card_declined", "decline_code": "insufficient_funds"
            }  # fmt: skip
            intent |= {"status": "requires_payment_method", "last_payment_error": code}
            raise Refused(402, "card_error", **code, payment_intent=intent)
        intent["last_payment_error"] = None
        if number == "pm_asks":
            page = {"type": "redirect_to_url", "redirect_to_url": {"url": f"{self.address}/bank"}}
            intent |= {"status": "requires_action", "next_action": page}
        else:
            intent["status"] = "processing" if number == "pm_slow" else "succeeded"
        return intent

    def _refund(self, params: Document) -> Document:
        intent = self.find(params["payment_intent"])
        given = sum(one["amount"] for one in self.objects.values() if one.get("payment_intent") == intent["id"])
        if given + int(params["amount"]) > intent["amount"]:
            raise Refused(400, code="charge_already_refunded")
        return self.new(
            "re", object="refund", refund=True, amount=int(params["amount"]), payment_intent=intent["id"],
            status="succeeded", metadata=_metadata(params), reverse_transfer=params.get("reverse_transfer"),
        )  # fmt: skip


def _all_of(params: Document, name: str) -> list[str]:
    return [value for key, value in params.items() if key.startswith(f"{name}[")]


def _metadata(params: Document) -> Document:
    return {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    double: Double

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        params = dict(parse_qsl(self.rfile.read(length).decode() or parts.query, keep_blank_values=True))
        double, known = self.double, self.headers.get("Authorization", "")
        double.calls.append(f"{self.command} {parts.path}")
        fault = double.faults.pop(0) if double.faults else ""
        if fault == "drop":
            self.close_connection = True
            return
        if fault.isdigit():
            status, document = int(fault), Refused(int(fault), "api_error").body
        elif KEY not in known:
            status, document = 401, Refused(401).body
        else:
            key = self.headers.get("Idempotency-Key") if self.command == "POST" else None
            status, document = double.answer(self.command, parts.path, params, key)
        if fault == "lose":
            self.close_connection = True
            return
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 429:
            self.send_header("Retry-After", "3")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _handle

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(double: Double | None = None) -> Iterator[Double]:
    """A double that answers: this one, or a new one."""
    double = double or Double()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": double}))
    double.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield double
    server.shutdown()
    server.server_close()
    thread.join(5)

"""Calling the API as a merchant's program does."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from portal_site import clock
from portal_site.billing.api_access import api_keys


class Program:
    """A merchant's program with its key."""

    def __init__(self, app: Flask, account_id: str, *, livemode: bool = False, **rights: str) -> None:
        made = api_keys.create(account_id, clock.now(), livemode=livemode, rights=rights or None)
        self.app, self.key, self.token = app, made.row, made.token

    def call(self, method: str, path: str, data: Any = None, **headers: str) -> TestResponse:
        """A request. `data` are parameters with brackets; in the URL for GET. Headers are named with underscores."""
        sent = {
            "Authorization": f"Bearer {self.token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        text = data if isinstance(data, str) else urlencode(data or {})
        client = self.app.test_client()
        if method == "GET":
            return client.get(path, query_string=text, headers=sent)
        form = "application/x-www-form-urlencoded"
        return client.open(path, method=method, data=text, headers=sent, content_type=form)

    def get(self, path: str, data: Any = None, **headers: str) -> TestResponse:
        """A GET."""
        return self.call("GET", path, data, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> TestResponse:
        """A POST."""
        return self.call("POST", path, data, **headers)


SESSIONS = "/v1/billing_portal/sessions"


def error(response: TestResponse) -> tuple[int, str, str | None, str | None]:
    """Status, message, code and parameter of a refusal."""
    found = response.json["error"]  # type: ignore[index]
    return response.status_code, found["message"], found.get("code"), found.get("param")


def path_of(url: str) -> str:
    """The path of a URL, for a client that is on another host than the one on which links are made."""
    return urlsplit(url).path

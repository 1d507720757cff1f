"""The portal for a few tireless customers, a bare Flask page of the same size, and the portal's page without queries."""

import os
from pathlib import Path

from flask import Flask, session

from portal_site import create_app
from portal_site.portal.access import visitors
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.portal.reads.overview import Overview
from portal_site.rate_limits.rules import RULES


def portal() -> Flask:
    """The portal. Requests are counted, but no rate limit is reached."""
    app = create_app()
    for name in RULES:
        app.extensions["rate_limits"].set_rate(name, "1000000000 per minute")
    return app


def bare() -> Flask:
    """A Flask app with one constant page."""
    app = Flask("bare")
    page = Path(os.environ["BENCH_PAGE"]).read_text()

    @app.get("/")
    def show() -> str:
        return page

    return app


def templates_only() -> Flask:
    """The portal, with all database results cached for ever."""
    app = portal()
    find_visitor, find_overview = visitors.find_visitor, overview.find
    cached_visitors: dict[str, Visitor | None] = {}
    cached_pages: dict[str, Overview] = {}

    def remembered_visitor(at: int) -> Visitor | None:
        token = session.get(visitors.COOKIE_MEMBER, "")
        if token not in cached_visitors:
            cached_visitors[token] = find_visitor(at)
        return cached_visitors[token]

    def remembered_page(visitor: Visitor, at: int) -> Overview:
        if visitor.customer_id not in cached_pages:
            cached_pages[visitor.customer_id] = find_overview(visitor, at)
        return cached_pages[visitor.customer_id]

    visitors.find_visitor, overview.find = remembered_visitor, remembered_page
    return app

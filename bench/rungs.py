"""The two rungs below the portal: a bare Flask page of the same size, and the portal's own page without its database."""

import os
from pathlib import Path

from flask import Flask, session

from portal_site import create_app
from portal_site.portal import visitors
from portal_site.portal.reads import overview
from portal_site.portal.reads.overview import Overview
from portal_site.portal.visitors import Visitor


def bare() -> Flask:
    """Flask and nothing else: one constant page."""
    app = Flask("bare")
    page = Path(os.environ["BENCH_PAGE"]).read_text()

    @app.get("/")
    def show() -> str:
        return page

    return app


def templates_only() -> Flask:
    """The portal, with whatever it has once read from the database kept for good."""
    app = create_app()
    find_visitor, find_overview = visitors.find_visitor, overview.find
    known_visitors: dict[str, Visitor | None] = {}
    known_pages: dict[str, Overview] = {}

    def remembered_visitor(at: int) -> Visitor | None:
        token = session.get(visitors.COOKIE_MEMBER, "")
        if token not in known_visitors:
            known_visitors[token] = find_visitor(at)
        return known_visitors[token]

    def remembered_page(visitor: Visitor, at: int) -> Overview:
        if visitor.customer_id not in known_pages:
            known_pages[visitor.customer_id] = find_overview(visitor, at)
        return known_pages[visitor.customer_id]

    visitors.find_visitor, overview.find = remembered_visitor, remembered_page
    return app

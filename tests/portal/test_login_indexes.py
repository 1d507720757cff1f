"""What is looked up on each visit of a public page is found by an index, however many rows there are."""

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import (
    Account,
    CancellationRequest,
    LoginRequest,
    PortalConfiguration,
    PortalSession,
    RememberedDevice,
)
from tests.plans import plan

FOUND_BY = [
    (select(LoginRequest.id).where(LoginRequest.answered_at.is_(None)).limit(1), "ix_login_requests_unanswered"),
    (
        select(LoginRequest.created).where(LoginRequest.network_hash == "x", LoginRequest.created > 1),
        "ix_login_requests_network_hash_created",
    ),
    (
        select(LoginRequest.id).where(LoginRequest.account_id == "a", LoginRequest.email == "b"),
        "ix_login_requests_account_id_email_created",
    ),
    (
        select(CancellationRequest.id).where(CancellationRequest.answered_at.is_(None)).limit(1),
        "ix_cancellation_requests_unanswered",
    ),
    (
        select(CancellationRequest.id).where(CancellationRequest.account_id == "a", CancellationRequest.email == "b"),
        "ix_cancellation_requests_account_id_email_created",
    ),
    (select(RememberedDevice.id).where(RememberedDevice.customer_id == "a"), "ix_remembered_devices_customer_id"),
    (select(RememberedDevice.id).where(RememberedDevice.expires_at < 1), "ix_remembered_devices_expires_at"),
    (select(PortalSession.id).where(PortalSession.device_id == "a"), "ix_portal_sessions_device_id"),
    (select(Account.id).where(Account.cancellation_page_id == "a"), "uq_accounts_cancellation_page_id"),
    (
        select(PortalConfiguration.id).where(PortalConfiguration.login_page_id == "a"),
        "uq_portal_configurations_login_page_id",
    ),
]


@pytest.mark.both_databases
def test_each_look_up_has_its_index(app: Flask) -> None:
    for query, index in FOUND_BY:
        table = query.get_final_froms()[0].name  # type: ignore[attr-defined]
        assert index in plan(query, table, unused=True), index

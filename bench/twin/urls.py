"""The routes of the overview and of the pages that it links to, which are not measured."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from bench.twin.views import show_overview


def elsewhere(_request: HttpRequest, **_parts: str) -> HttpResponse:
    """Placeholder for a page of the portal that is not measured."""
    raise Http404


urlpatterns = [
    path("", show_overview, name="overview"),
    path("language", elsewhere, name="language"),
    path("session-over", elsewhere, name="session_over"),
    path("log-out", elsewhere, name="log_out"),
    path("brand/<str:asset_id>", elsewhere, name="brand_asset"),
    path("theme/<str:name>.css", elsewhere, name="theme"),
    path("subscriptions/list", elsewhere, name="subscription_list"),
    path("subscriptions/<str:subscription_id>", elsewhere, name="subscription"),
    path("subscriptions/<str:subscription_id>/plan-change", elsewhere, name="plan_change"),
    path("subscriptions/<str:subscription_id>/planned-change/removal", elsewhere, name="undo_planned_change"),
    path("subscriptions/<str:subscription_id>/pause", elsewhere, name="pause"),
    path("subscriptions/<str:subscription_id>/resumption", elsewhere, name="resumption"),
    path("subscriptions/<str:subscription_id>/restart", elsewhere, name="restart"),
    path("subscriptions/<str:subscription_id>/cancellation", elsewhere, name="cancellation"),
    path("subscriptions/<str:subscription_id>/cancellation/removal", elsewhere, name="keep"),
    path("payment-methods", elsewhere, name="payment_methods"),
    path("payment-methods/<str:method_id>/default", elsewhere, name="default_method"),
    path("payment-methods/<str:method_id>/removal", elsewhere, name="method_removal"),
    path("billing-information/edit", elsewhere, name="edit_billing_information"),
    path("tax-ids/new", elsewhere, name="new_tax_id"),
    path("tax-ids/<str:tax_id>/removal", elsewhere, name="tax_id_removal"),
    path("invoices", elsewhere, name="invoices"),
    path("invoices/<str:invoice_id>", elsewhere, name="invoice"),
    path("invoices/<str:invoice_id>/pdf", elsewhere, name="invoice_pdf"),
    path("invoices/<str:invoice_id>/payment", elsewhere, name="payment"),
]

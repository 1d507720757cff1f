"""What e-mails say: a function for each kind, from a notice and its customer to a message in the reader's language."""

from collections.abc import Callable, Mapping

from portal_site.mail.messages import Message
from portal_site.notices.kinds import Kind
from portal_site.notices.texts import customers, invoices, subscriptions
from portal_site.notices.texts.context import Context

TEXTS: Mapping[Kind, Callable[[Context], Message | None]] = {
    Kind.TRIAL_ENDING: subscriptions.trial_ending,
    Kind.RENEWAL_AHEAD: subscriptions.renewal_ahead,
    Kind.PAYMENT_FAILED: invoices.payment_failed,
    Kind.AUTHENTICATION_NEEDED: invoices.authentication_needed,
    Kind.CARD_EXPIRING: customers.card_expiring,
    Kind.INVOICE_FINALIZED: invoices.finalized,
    Kind.UNPAID_REMINDER: invoices.unpaid_reminder,
    Kind.RECEIPT: invoices.receipt,
    Kind.CANCELLATION_CONFIRMED: subscriptions.cancellation_confirmed,
    Kind.SUBSCRIPTION_ENDED: subscriptions.ended,
    Kind.CHANGE_CONFIRMED: subscriptions.change_confirmed,
    Kind.PAUSE_BEGUN: subscriptions.pause_begun,
    Kind.PAUSE_ENDING: subscriptions.pause_ending,
    Kind.EMAIL_CHANGED: customers.email_changed,
    Kind.REFUND: invoices.refunded,
}

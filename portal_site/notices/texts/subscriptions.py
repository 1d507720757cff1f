"""E-mails about subscriptions."""

from collections.abc import Iterable

from portal_site.billing.portal_access.email_links import Purpose
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.mail.messages import Button, Message
from portal_site.notices.texts.context import Context
from portal_site.portal import wording
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import ItemView, SubscriptionView
from portal_site.web.rendering.filters import date, instant
from portal_site.web.rendering.i18n import gettext as _


def trial_ending(context: Context) -> Message | None:
    """A free trial ends soon. None if it is over, or was cancelled."""
    found = context.subscription()
    if found is None or found[0].status != SubscriptionStatus.TRIALING or not found[0].trial_end:
        return None
    subscription, method = found
    methods = context.methods()
    if subscription.cancel_at is not None and methods:
        return None  # the customer has cancelled it
    paragraphs = [wording.payment_methods.trial_ends(subscription, methods)]
    if subscription.cancel_at is None:
        paragraphs += _payment(subscription, method)
    needs_method = not methods and subscription.collection_method == "charge_automatically"
    button = context.manage(subscription)
    if needs_method and context.visitor.features.payment_method_update.enabled:
        button = context.link(Purpose.PAYMENT_METHOD, "", _("Add a payment method"))
    ends = date(subscription.trial_end or 0)
    return Message(
        subject=_("Your free trial ends on %(date)s", date=ends),
        heading=_("Your free trial ends on %(date)s", date=ends),
        paragraphs=tuple(paragraphs),
        preview=paragraphs[0],
        rows=_items(subscription.items),
        button=button,
        values={"date": ends, "products": _products(subscription)},
    )


def renewal_ahead(context: Context) -> Message | None:
    """A subscription renews soon. None if it does not any more, or not on that day."""
    found = context.subscription()
    if found is None or found[0].status != SubscriptionStatus.ACTIVE or found[0].cancel_at is not None:
        return None
    subscription, method = found
    upcoming = subscription.next_invoice
    if upcoming is None or upcoming.date != context.value("date") or not upcoming.renews:
        return None
    values = {"date": date(upcoming.date), "products": _products(subscription)}
    return Message(
        subject=_("Your subscription renews on %(date)s", **values),
        heading=_("Your subscription renews on %(date)s", **values),
        opening=(_("Your subscription to %(products)s renews on %(date)s.", **values),),
        paragraphs=tuple(_payment(subscription, method)),
        preview=wording.invoices.upcoming(upcoming),
        rows=_items(subscription.items),
        button=context.manage(subscription),
        values=values,
    )


def cancellation_confirmed(context: Context) -> Message | None:
    """A subscription was cancelled: the acknowledgement, with the date, the time and what follows."""
    found = context.subscription()
    if found is None:
        return None
    subscription = found[0]
    ends_at, at_once = context.value("ends_at"), context.value("at_once", False)
    if not at_once and subscription.cancel_at != ends_at:
        return None  # it was taken back, or has ended since: another e-mail says so
    values = {"products": _products(subscription), "date": date(ends_at)}
    rows = [(_("Subscription"), values["products"])]
    if context.notice.happened_at is not None:
        rows.append((_("Date of cancellation"), instant(context.notice.happened_at)))
    rows.append((_("Ends on"), values["date"]))
    if at_once:
        heading = _("Your subscription has ended")
        paragraphs = [_("We confirm your cancellation: your subscription to %(products)s ended on %(date)s.", **values)]
    else:
        heading = _("Your subscription ends on %(date)s", **values)
        paragraphs = [
            _(
                "We confirm your cancellation: your subscription to %(products)s continues until %(date)s, then ends.",
                **values,
            )
        ]
        paragraphs.append(
            wording.subscriptions.before_the_end(subscription.next_invoice)
            or _("It will not renew, and no further invoice will follow.")
        )
    return Message(
        subject=_("Your cancellation of %(products)s is confirmed", **values),
        heading=heading,
        paragraphs=tuple(paragraphs),
        preview=paragraphs[0],
        rows=tuple(rows),
        button=_keep(context, subscription),
        values=values,
    )


def _keep(context: Context, subscription: SubscriptionView) -> Button | None:
    if not (subscription.can_be_kept and context.visitor.features.subscription_cancel.enabled):
        return None
    return context.link(Purpose.KEEP, subscription.id, _("Keep my subscription"))


def ended(context: Context) -> Message | None:
    """A subscription has ended."""
    found = context.subscription()
    if found is None or not found[0].status.ended:
        return None
    subscription = found[0]
    values = {"products": _products(subscription), "date": date(context.value("ends_at"))}
    sentence = _("Your subscription to %(products)s ended on %(date)s.", **values)
    if context.value("reason") == "payment_failed":
        sentence = _("Your subscription to %(products)s ended on %(date)s, because it was not paid.", **values)
    return Message(
        subject=_("Your subscription to %(products)s has ended", **values),
        heading=_("Your subscription has ended"),
        paragraphs=(sentence, _("No further invoice will follow.")),
        preview=sentence,
        button=context.manage(subscription),
        values=values,
    )


def change_confirmed(context: Context) -> Message | None:
    """A plan was changed, or is going to be; a cancellation or a planned change was taken back; a pause has ended."""
    found = context.subscription()
    if found is None or found[0].status.ended:
        return None
    subscription, _method = found
    what, items = context.value("what"), subscription.items
    heading = {
        "plan": wording.results.what_one_has(subscription),
        "kept": _("Your subscription continues"),
        "planned_undone": _("Your plan stays as it is"),
        "resumed": _("Your subscription has resumed"),
    }.get(what, "")
    if what == "planned":
        if subscription.planned is None:
            return None
        items = subscription.planned.items
        heading = _("Your plan changes on %(date)s", date=date(subscription.planned.date))
    values = {"products": _products(subscription)}
    sentence = {
        "plan": _("Your subscription was changed. This is what you have now."),
        "planned": _(
            "Until then, your subscription to %(products)s stays as it is. This is what you will have then.", **values
        ),
        "planned_undone": _(
            "The change of your subscription to %(products)s that was planned will not happen.", **values
        ),
        "resumed": _("Your subscription to %(products)s is active again.", **values),
        "kept": _(
            "Your cancellation has been undone: your subscription to %(products)s continues as before.", **values
        ),
    }[what]
    upcoming = subscription.next_invoice
    following = [wording.invoices.upcoming(upcoming)] if upcoming is not None and not subscription.cancel_at else []
    return Message(
        subject=heading,
        heading=heading,
        paragraphs=(sentence, *following),
        preview=sentence,
        rows=_items(items),
        button=context.manage(subscription),
        values=values,
    )


def pause_begun(context: Context) -> Message | None:
    """A subscription is paused. None if it was resumed since."""
    found = context.subscription()
    if found is None or found[0].status != SubscriptionStatus.PAUSED:
        return None
    subscription = found[0]
    values = {"products": _products(subscription)}
    sentence = _("Your subscription to %(products)s is paused until you resume it.", **values)
    if subscription.resumes_at is not None:
        until = date(subscription.resumes_at)
        sentence = _("Your subscription to %(products)s is paused until %(date)s.", date=until, **values)
    return Message(
        subject=_("Your subscription is paused"),
        heading=_("Your subscription is paused"),
        paragraphs=(sentence, _("You pay nothing until then.")),
        preview=sentence,
        button=context.manage(subscription),
        values=values,
    )


def pause_ending(context: Context) -> Message | None:
    """A pause ends soon. None if it does not any more, or on another day."""
    found = context.subscription()
    if found is None or found[0].status != SubscriptionStatus.PAUSED:
        return None
    subscription = found[0]
    if subscription.resumes_at is None or subscription.resumes_at != context.value("date"):
        return None
    values = {"products": _products(subscription), "date": date(subscription.resumes_at)}
    sentence = _("Your subscription to %(products)s resumes, and is billed again, on %(date)s.", **values)
    return Message(
        subject=_("Your subscription resumes on %(date)s", **values),
        heading=_("Your subscription resumes on %(date)s", **values),
        paragraphs=(sentence,),
        preview=sentence,
        rows=_items(subscription.items),
        button=context.manage(subscription),
        values=values,
    )


def _products(subscription: SubscriptionView) -> str:
    return ", ".join(subscription.products)


def _items(items: Iterable[ItemView]) -> tuple[tuple[str, str], ...]:
    found = list(items)
    return tuple((item.product, wording.subscriptions.contents(item, len(found) > 1)) for item in found)


def _payment(subscription: SubscriptionView, method: PaymentMethodView | None) -> list[str]:
    """The next payment: when, how much, and from what."""
    upcoming = subscription.next_invoice
    if upcoming is None:
        return []
    sentences = [wording.invoices.upcoming(upcoming)]
    if method is not None and upcoming.amount_due and subscription.collection_method == "charge_automatically":
        sentences.append(_("It will be charged to %(method)s.", method=wording.payment_methods.short_name(method)))
    return sentences

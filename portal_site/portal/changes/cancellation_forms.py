"""The form for a cancellation reason, and the labels of the reasons."""

from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import RadioField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import AnyOf, Length, Optional

from portal_site.billing.cancellation.cancellations import Reason
from portal_site.billing.rules.portal.portal_features import CancellationReason
from portal_site.billing.rules.subscriptions import cancellation
from portal_site.billing.rules.subscriptions.cancellation import LONGEST_COMMENT
from portal_site.web.input.forms import PortalForm, clean, no_card_number

LABELS = {
    "too_expensive": _l("It is too expensive"),
    "missing_features": _l("It is missing features I need"),
    "switched_service": _l("I found something else"),
    "unused": _l("I no longer need it"),
    "customer_service": _l("The service was not what I expected"),
    "too_complex": _l("It is too hard to use"),
    "low_quality": _l("The quality was not what I expected"),
    "other": _l("Another reason"),
}


class ReasonForm(PortalForm):
    """One reason, or none, and a comment."""

    reason = RadioField(_l("Why do you want to cancel?"), validators=[Optional()], validate_choice=False)
    comment = TextAreaField(
        _l("Your comment"),
        filters=[clean],
        validators=[Length(max=LONGEST_COMMENT, message=_l("Use at most %(max)d characters.")), no_card_number],
    )

    @classmethod
    def make(cls, features: CancellationReason, own: Mapping[str, str], session_id: str) -> "ReasonForm":
        """The form with the configured reasons, in this session's random order. `own` are the merchant's reasons by id."""
        form = cls()
        names = cancellation.shuffled([*features.options, *own], session_id) if features.asked else []
        form.reason.choices = [SelectChoice(name, own.get(name) or str(LABELS[name])) for name in names]
        form.reason.validators = [Optional(), AnyOf(names, message=_("Choose one of the reasons, or none."))]
        return form

    def given(self, own: Mapping[str, str]) -> Reason:
        """The reason that was submitted."""
        if not self.reason.choices:
            return Reason()
        chosen = self.reason.data or None
        return Reason(
            feedback=None if chosen in own else chosen,
            option_id=chosen if chosen in own else None,
            comment=self.comment.data or None,
        )

"""The field for an e-mail address on pages without a session."""

from typing import Any

from flask_babel import gettext as _
from wtforms.validators import ValidationError

from portal_site.mail.messages import deliverable


def is_address(_form: Any, field: Any) -> None:
    """Validate an e-mail address."""
    if not deliverable(field.data):
        raise ValidationError(_("Enter an email address such as name@example.com."))

"""The sentences of pages that depend on conditions: functions from views to translated text.

Templates do not choose between sentences. This package is the Jinja global `wording`, with a module for each noun:
for `{{ wording.invoices.due(invoice, of_changes, now) }}`, see `invoices.due`. The functions
return plain text, or a list of sentences or rows; the template adds the markup and escapes them.
"""

import sys

from flask import Flask

from portal_site.portal.wording import (  # noqa: F401 - templates reach them through the package
    billing_information,
    cancellations,
    frame,
    invoices,
    pauses,
    payment_methods,
    plan_changes,
    prices,
    results,
    retention,
    subscriptions,
    sums,
)


def init(app: Flask) -> None:
    """Make the package available in every template."""
    app.jinja_env.globals["wording"] = sys.modules[__name__]

"""What pages say where that depends on something: functions from what a page shows to text in its language.

A template does not choose between sentences. This package is the Jinja global `wording`, with one module for each noun, so that
a template says `{{ wording.invoices.due(invoice, of_changes, now) }}` and one finds the words in `invoices.due`. The functions
return plain text, or a list of sentences or rows; the template puts the markup around it and escapes it.
"""

import sys

from flask import Flask

from portal_site.portal.wording import (  # noqa: F401 - templates reach them through the package
    billing_information,
    cancellations,
    frame,
    invoices,
    paid,
    pauses,
    payment_methods,
    plan_changes,
    prices,
    retention,
    subscriptions,
    sums,
)


def init(app: Flask) -> None:
    """Give the package to every template."""
    app.jinja_env.globals["wording"] = sys.modules[__name__]

"""The macros of `templates/components`, known to every template by their names.

Not imported where they are used: Jinja makes an imported module anew for each include, some fourteen times on the overview.
"""

from flask import Flask

from portal_site.web import forms

MODULES = ("text", "icons", "badge", "address", "forms", "payment_method", "sums", "subscription_links")


def init(app: Flask) -> None:
    """Put the macros among the globals. They use each other, so the order of MODULES matters."""
    app.jinja_env.globals["field_attributes"] = forms.field_attributes
    with app.app_context():
        for name in MODULES:
            module = app.jinja_env.get_template(f"components/{name}.html").module
            macros = {
                name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)
            }
            app.jinja_env.globals.update(macros)

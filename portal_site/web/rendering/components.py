"""Makes the macros of `templates/components` available in every template.

Templates do not import them: Jinja would create the imported module again for each include, about 14 times on the overview.
"""

from flask import Flask

from portal_site.web.input import forms

MODULES = ("text", "icons", "badge", "address", "forms", "payment_method", "sums", "way_back", "subscription_links")


def init(app: Flask) -> None:
    """Add the macros to the template globals. Macros use those of earlier modules, so the order of MODULES matters."""
    app.jinja_env.globals["field_attributes"] = forms.field_attributes
    with app.app_context():
        for name in MODULES:
            module = app.jinja_env.get_template(f"components/{name}.html").module
            macros = {
                name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)
            }
            app.jinja_env.globals.update(macros)

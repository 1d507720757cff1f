"""Portal Site: a self-hosted customer billing portal. `create_app` puts its parts together."""

import gc

from flask import Flask
from flask_compress import Compress
from flask_migrate import Migrate
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from portal_site import api, dashboard, db, domains, locations, payment_providers, portal, rate_limits
from portal_site.config import Settings
from portal_site.db import engine
from portal_site.mail import models as mail_models  # noqa: F401 - its tables belong to the schema
from portal_site.notices import models as notice_models  # noqa: F401 - so do these
from portal_site.staff import models as staff_models  # noqa: F401
from portal_site.web import errors, hosts, htmx, rendering, security, urls
from portal_site.web.input import postal_addresses
from portal_site.web.prefix import Prefix
from portal_site.web.rendering import components
from portal_site.web.rendering.environment import Environment
from portal_site.web.servers import access_log

# By default Python looks for garbage after every 700 new objects. Most of those made while the program starts stay.
gc.set_threshold(20_000, 20, 20)


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. Raises config.SettingsError if a setting is missing or invalid."""
    settings = settings or Settings.from_environment()
    app = Flask(__name__, template_folder=str(locations.TEMPLATES), static_folder=None)
    app.config.from_mapping(
        SETTINGS=settings,
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine.engine_options(settings.database_url),
        MAX_CONTENT_LENGTH=512 * 1024,
        **security.cookie_settings(settings),
    )
    app.url_rule_class = urls.LazyRule
    app.jinja_environment = Environment
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    if settings.prefix:
        app.wsgi_app = Prefix(app.wsgi_app, settings.prefix)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]

    engine.init(app)
    Migrate(app, db.db, directory=str(locations.MIGRATIONS), render_as_batch=True)
    Compress(app)
    access_log.init(app)
    htmx.init(app)
    hosts.init(app)
    rate_limits.init(app, settings)  # before anything is done for a request
    security.init(app)
    errors.init(app)
    rendering.init(app)
    postal_addresses.init(app)

    portal.init(app)
    api.init(app)
    dashboard.init(app)
    domains.init(app)
    payment_providers.init(app, settings)
    if settings.demo:
        from portal_site import demo

        demo.init(app)
    urls.init(app)
    components.init(app)  # last: macros know only the globals that there are when they are made
    return app

"""For WSGI servers: `gunicorn wsgi:app`."""

from portal_site import create_app
from portal_site.db import migrations
from portal_site.web.servers import access_log

access_log.configure()
app = create_app()
migrations.warn_if_behind(app)

"""For WSGI servers: `gunicorn wsgi:app`."""

from portal_site import create_app
from portal_site.web import access_log

access_log.configure()
app = create_app()

"""The entry point for WSGI servers: `gunicorn wsgi:app`."""

from portal_site import create_app

app = create_app()

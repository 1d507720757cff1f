"""The overview page once more, in Django 5.2 with django-htmx, on the portal's own tables."""

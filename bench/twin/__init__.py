"""The twin: the overview page implemented in Django 5.2 with django-htmx, on the portal's tables, for comparison."""

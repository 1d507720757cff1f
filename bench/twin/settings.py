"""The twin's production settings, with the portal's SQLite pragmas and persistent connections on PostgreSQL."""

import os
from pathlib import Path

SECRET_KEY = os.environ["PORTAL_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.twin.urls"
INSTALLED_APPS = ["django.contrib.messages", "django_htmx", "bench.twin"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "bench.twin.middleware.headers",
    "bench.twin.middleware.visitor",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {
            "builtins": ["django.templatetags.i18n", "django.templatetags.static", "bench.twin.filters"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
LANGUAGES = [("en", "English"), ("fr", "Français")]
USE_TZ = True
STATIC_URL = "/static/"

_PRAGMAS = (
    "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-20000;PRAGMA mmap_size=134217728;"
)
_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"init_command": _PRAGMAS}}
_POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ.get("BENCH_DATABASE_HOST", ""),
    "USER": "postgres",
}
DATABASES = {
    "default": {
        **(_POSTGRESQL if os.environ["BENCH_DATABASE_KIND"] == "postgresql" else _SQLITE),
        "NAME": os.environ["BENCH_DATABASE_NAME"],
        "CONN_MAX_AGE": None,
    }
}

"""The WSGI application that uWSGI loads."""

import os

from django.core.validators import validate_email
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")


def load_what_waits() -> None:
    """Load what Django leaves for the first request that needs it.

    uWSGI forks its workers off this process, so that all of them have it, and no visitor waits for
    it. Connections to the database are none of it: two processes must not share one.
    """
    _ = get_resolver().url_patterns
    validate_email("shop@example.com")


application = get_wsgi_application()
load_what_waits()

"""Views about the service itself, and its answers when something is wrong."""

from __future__ import annotations

import logging
import os

from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from . import identity

_LOG = logging.getLogger(__name__)
_HEALTH_SECONDS = 2


@require_safe
def ping(request: HttpRequest) -> HttpResponse:
    """The cheapest answer there is: no database, no JSON."""
    return HttpResponse(b"pong", content_type="text/plain")


@require_safe
def whoami(request: HttpRequest) -> JsonResponse:
    """Say which process answers."""
    return JsonResponse(
        {
            "backend": identity.BACKEND,
            "release": identity.RELEASE,
            "server": identity.SERVER,
            "process": os.getpid(),
        }
    )


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 while the database answers, else 503."""
    problem = _database_problem()
    return JsonResponse(
        {
            "status": "unavailable" if problem else "ok",
            "release": identity.RELEASE,
            "backend": identity.BACKEND,
            **({"reason": problem} if problem else {}),
        },
        status=503 if problem else 200,
    )


def _database_problem() -> str | None:
    """Ask the database over a connection of its own, so that a hung one costs 2 s at most."""
    probe = connection.copy()
    if probe.vendor == "postgresql":
        probe.settings_dict["OPTIONS"] |= {
            "connect_timeout": _HEALTH_SECONDS,
            "options": f"-c statement_timeout={_HEALTH_SECONDS}s",
        }
    try:
        with probe.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        # The message may name hosts and users: it belongs in the log, not on the internet.
        _LOG.error("the database does not answer: %s", error)
        return "the database does not answer"
    finally:
        probe.close()
    return None


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer 400 as JSON."""
    return JsonResponse({"error": "bad request"}, status=400)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer 404 as JSON."""
    return JsonResponse({"error": "not found"}, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer 500 as JSON."""
    return JsonResponse({"error": "internal error"}, status=500)

"""What every answer carries."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from . import identity

Handler = Callable[[HttpRequest], HttpResponse]

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "7200",
}


def identify(get_response: Handler) -> Handler:
    """Say on every answer which backend gave it, and that it is not to be stored."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        # Over uwsgi's protocol an answer cut short is only noticed by its length.
        if not response.streaming:
            response.headers["Content-Length"] = str(len(response.content))
        for name, value in identity.HEADERS.items():
            response.headers[name] = value
        return response

    return answer


def share_with_origins(get_response: Handler) -> Handler:
    """Let pages of the allowed origins use the API, where it has a name of its own (api.)."""

    def answer(request: HttpRequest) -> HttpResponse:
        if not settings.CORS_ALLOWED_ORIGINS:
            return get_response(request)
        origin = request.headers.get("Origin")
        allowed = origin in settings.CORS_ALLOWED_ORIGINS
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if allowed and asks:
            response = HttpResponse(status=204, headers=_PREFLIGHT)
        else:
            response = get_response(request)
        patch_vary_headers(response, ["Origin"])
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = ", ".join(identity.HEADERS)
        return response

    return answer

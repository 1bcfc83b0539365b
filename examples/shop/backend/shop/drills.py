"""Requests that are hard on a release: slow ones and large ones. Only with SHOP_DRILLS=1."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_http_methods

from orders.models import Execution

_LONGEST = 30.0
_PIECE = 1 << 16

View = Callable[[HttpRequest], HttpResponse]


def _drill(view: View) -> View:
    """Hide the view where drills are off, and count its executions like those of orders."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if not settings.SHOP_DRILLS:
            raise Http404
        response = view(request)
        if request.method == "POST" and response.status_code == 200:
            Execution.record(request.headers.get("Idempotency-Key", ""), Execution.Outcome.DRILL)
        return response

    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@_drill
def slow(request: HttpRequest) -> JsonResponse:
    """Answer after `seconds`, 1 unless given and 30 at most."""
    try:
        seconds = float(request.GET.get("seconds", "1"))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST:
        return JsonResponse({"error": "seconds must be between 0 and 30"}, status=400)
    time.sleep(seconds)
    return JsonResponse({"slept": seconds})


@require_http_methods(["POST"])
@_drill
def upload(request: HttpRequest) -> JsonResponse:
    """Read the whole body without keeping it; answer its length and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    while piece := request.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return JsonResponse({"bytes": size, "sha256": digest.hexdigest()})

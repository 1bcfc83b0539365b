"""Placing an order, looking at it, and the counts that a load test asks for."""

from __future__ import annotations

import json
import logging

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_POST, require_safe

from . import checkout, statistics
from .models import Order

_LOG = logging.getLogger(__name__)
_LONGEST_KEY = 120


@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """Place an order: 201, or 200 where the idempotency key has placed it before."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > _LONGEST_KEY or not key.isprintable():
        return _error("Idempotency-Key has to be at most 120 printable characters", 400)
    if request.content_type != "application/json":
        return _error("send application/json", 415)
    try:
        order, new = checkout.place(checkout.read(json.loads(request.body)), key)
    except checkout.Refused as refusal:
        return JsonResponse({"error": str(refusal)} | refusal.details, status=refusal.status)
    except RequestDataTooBig:
        return _error("the order is too large", 413)
    except ValueError:
        return _error("this is not JSON in UTF-8", 400)
    _LOG.info(
        "order placed" if new else "order asked for again",
        extra={"order": order.number, "total": order.total},
    )
    return JsonResponse({"order": _shown(order)}, status=201 if new else 200)


@require_safe
def order(request: HttpRequest, number: str) -> JsonResponse:
    """The order, to whoever knows its number."""
    found = Order.objects.filter(number=number).first()
    if found is None:
        return _error("there is no such order", 404)
    return JsonResponse({"order": _shown(found)})


@require_safe
def stats(request: HttpRequest) -> JsonResponse:
    """Counts of orders and executions, of all or of keys with a prefix; needs the token."""
    if not settings.STATS_TOKEN:
        raise Http404
    sent = request.headers.get("Authorization", "")
    if not constant_time_compare(sent, f"Bearer {settings.STATS_TOKEN}"):
        answer = _error("send the statistics token as a bearer token", 401)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    if "key" in request.GET:
        return JsonResponse(statistics.of_key(request.GET["key"]))
    return JsonResponse(statistics.of_prefix(request.GET.get("prefix", "")))


def _shown(order: Order) -> dict[str, object]:
    return {
        "number": order.number,
        "placed_at": order.placed_at.isoformat(),
        "name": order.name,
        "city": order.city,
        "currency": settings.SHOP_CURRENCY,
        "subtotal": order.subtotal,
        "shipping": order.shipping,
        "total": order.total,
        "lines": [
            {
                "product": line.product.slug,
                "art": line.product.art,
                "name": line.name,
                "price": line.price,
                "quantity": line.quantity,
            }
            for line in order.lines.select_related("product")
        ],
    }


def _error(text: str, status: int) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)

"""Products, read only."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from .models import Product


def terms() -> dict[str, object]:
    """What the frontend needs to reckon an order's total as the backend will."""
    return {
        "currency": settings.SHOP_CURRENCY,
        "shipping": settings.SHOP_SHIPPING,
        "free_shipping_from": settings.SHOP_FREE_SHIPPING_FROM,
    }


@require_safe
def products(request: HttpRequest) -> JsonResponse:
    """All products in the shop's order."""
    return JsonResponse(
        {"products": [_card(product) for product in Product.objects.all()], "terms": terms()}
    )


@require_safe
def product(request: HttpRequest, slug: str) -> JsonResponse:
    """One product with everything we know about it."""
    found = Product.objects.filter(slug=slug).first()
    if found is None:
        return JsonResponse({"error": f"there is no product {slug}"}, status=404)
    whole = _card(found) | {"description": found.description, "facts": found.facts}
    return JsonResponse({"product": whole, "terms": terms()})


def _card(product: Product) -> dict[str, object]:
    return {
        "slug": product.slug,
        "name": product.name,
        "category": product.category,
        "summary": product.summary,
        "price": product.price,
        "stock": product.stock,
        "art": product.art,
    }

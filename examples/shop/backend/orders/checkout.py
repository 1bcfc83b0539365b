"""Read what a client wants to buy, and sell it exactly once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from django import forms
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from catalog.models import Product

from .models import Execution, Order, OrderLine

MOST_LINES = 50
MOST_OF_ONE = 20

Problems = dict[str, list[str]]


class Refused(Exception):
    """The order is not placed; the status and the details are for the client."""

    status = 400

    def __init__(self, reason: str, **details: object) -> None:
        super().__init__(reason)
        self.details = details


class InvalidOrder(Refused):
    """The order cannot be understood; `fields` says what is wrong with each."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("the order is not valid", fields=problems)


class OutOfStock(Refused):
    """There is less than was asked for; `left` says how much, product by product."""

    status = 409

    def __init__(self, left: dict[str, int]) -> None:
        super().__init__("not enough in stock", left=left)


class KeyReused(Refused):
    """The key belongs to an order with other contents."""

    status = 422

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key belongs to another order")


class ContactForm(forms.Form):
    """Where the order goes."""

    name = forms.CharField(max_length=80)
    email = forms.EmailField(max_length=254)
    street = forms.CharField(max_length=120)
    postcode = forms.CharField(max_length=12)
    city = forms.CharField(max_length=80)


@dataclass(frozen=True, slots=True)
class Wish:
    """A valid order that was not placed yet: who wants how many of what."""

    contact: Mapping[str, str]
    quantities: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        """Equal for equal orders."""
        text = json.dumps([dict(self.contact), dict(self.quantities)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read(data: object) -> Wish:
    """Check what the client sent, all of it, and raise `InvalidOrder` with every problem."""
    if not isinstance(data, dict):
        raise InvalidOrder({"order": ["Send an object."]})
    contact = data.get("contact")
    form = ContactForm(contact if isinstance(contact, dict) else {})
    quantities, problems = _read_lines(data.get("lines"))
    problems = {field: list(texts) for field, texts in form.errors.items()} | problems
    if problems:
        raise InvalidOrder(problems)
    return Wish(form.cleaned_data, quantities)


def _read_lines(lines: object) -> tuple[dict[str, int], Problems]:
    if not isinstance(lines, list) or not 1 <= len(lines) <= MOST_LINES:
        return {}, {"lines": [f"Send 1 to {MOST_LINES} lines."]}
    quantities: dict[str, int] = {}
    problems: list[str] = []
    for line in lines:
        slug, quantity = _read_line(line)
        if not slug or slug in quantities:
            problems.append("Each line needs a product of its own.")
        elif not quantity:
            problems.append(f"{slug}: order 1 to {MOST_OF_ONE}.")
        else:
            quantities[slug] = quantity
    return quantities, {"lines": problems} if problems else {}


def _read_line(line: object) -> tuple[str, int]:
    """The line's product and quantity; empty and 0 where they make no sense."""
    if not isinstance(line, dict):
        return "", 0
    slug, quantity = line.get("product"), line.get("quantity")
    counts = isinstance(quantity, int) and not isinstance(quantity, bool)
    return (
        slug if isinstance(slug, str) and slug.isprintable() else "",
        quantity if counts and 1 <= quantity <= MOST_OF_ONE else 0,
    )


def place(wish: Wish, key: str) -> tuple[Order, bool]:
    """Place the order, or find the one that this key already placed; say whether it is new."""
    try:
        with transaction.atomic():
            order = _sell(wish, key)
            # In the same transaction: neither an order without its count nor a count without one.
            Execution.record(key, Execution.Outcome.PLACED)
    except IntegrityError:
        earlier = Order.objects.filter(key=key).first() if key else None
        if earlier is None:
            raise
        Execution.record(key, Execution.Outcome.REPLAYED)
        if earlier.fingerprint != wish.fingerprint:
            raise KeyReused() from None
        return earlier, False
    except OutOfStock:
        Execution.record(key, Execution.Outcome.REFUSED)
        raise
    return order, True


def _sell(wish: Wish, key: str) -> Order:
    products = _products(wish)
    subtotal = sum(product.price * wish.quantities[product.slug] for product in products)
    shipping = 0 if subtotal >= settings.SHOP_FREE_SHIPPING_FROM else settings.SHOP_SHIPPING
    # First of all: a second request with this key waits here until the first one has its answer.
    order = Order.objects.create(
        **wish.contact,
        subtotal=subtotal,
        shipping=shipping,
        total=subtotal + shipping,
        key=key or None,
        fingerprint=wish.fingerprint,
    )
    if not settings.SHOP_UNLIMITED_STOCK:
        _take(products, wish)
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order,
            product=product,
            name=product.name,
            price=product.price,
            quantity=wish.quantities[product.slug],
        )
        for product in products
    )
    return order


def _products(wish: Wish) -> list[Product]:
    """The products in a fixed order, so that two orders never wait for each other's rows."""
    products = list(Product.objects.filter(slug__in=wish.quantities).order_by("pk"))
    unknown = set(wish.quantities) - {product.slug for product in products}
    if unknown:
        raise InvalidOrder({"lines": [f"There is no product {slug}." for slug in sorted(unknown)]})
    return products


def _take(products: list[Product], wish: Wish) -> None:
    """Take the quantities from stock, each only if there is enough at this very moment."""
    missing = []
    for product in products:
        quantity = wish.quantities[product.slug]
        enough = Product.objects.filter(pk=product.pk, stock__gte=quantity)
        if not enough.update(stock=F("stock") - quantity):
            missing.append(product.pk)
    if missing:
        left = Product.objects.filter(pk__in=missing).values_list("slug", "stock")
        raise OutOfStock(dict(left))

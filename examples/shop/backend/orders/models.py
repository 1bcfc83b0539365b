"""Orders, and a count of every time that one was executed."""

from __future__ import annotations

import secrets

from django.db import models

from catalog.models import Product
from shop import identity

_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_number() -> str:
    """An order number that nobody guesses: FW- and three groups of four, 58 bits."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))
    return "-".join(["FW", *groups])


class Order(models.Model):
    """What someone bought, at the prices of that moment."""

    number = models.CharField(max_length=20, unique=True, default=new_number)
    placed_at = models.DateTimeField(auto_now_add=True)
    name = models.CharField(max_length=80)
    email = models.EmailField()
    street = models.CharField(max_length=120)
    postcode = models.CharField(max_length=12)
    city = models.CharField(max_length=80)
    subtotal = models.PositiveIntegerField()
    shipping = models.PositiveIntegerField()
    total = models.PositiveIntegerField()
    # Of two requests with one key the database lets one through; without a key all are free.
    key = models.CharField(max_length=120, unique=True, null=True)
    fingerprint = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    """One product in an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    name = models.CharField(max_length=80)
    price = models.PositiveIntegerField()
    quantity = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"


class Execution(models.Model):
    """One execution of a request that changes something, under the key that its client chose.

    A client sends each key once. Two rows with one key mean that something between the client
    and us sent the request twice, which is what a load test asks.
    """

    class Outcome(models.TextChoices):
        PLACED = "placed"
        REPLAYED = "replayed"
        REFUSED = "refused"
        DRILL = "drill"

    key = models.CharField(max_length=120, db_index=True)
    outcome = models.CharField(max_length=10, choices=Outcome)
    backend = models.CharField(max_length=80)
    server = models.CharField(max_length=80)
    release = models.CharField(max_length=80)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.key} {self.outcome}"

    @classmethod
    def record(cls, key: str, outcome: str) -> None:
        """Note that a request was executed here and now; one without a key is not counted."""
        if key:
            cls.objects.create(
                key=key,
                outcome=outcome,
                backend=identity.BACKEND,
                server=identity.SERVER,
                release=identity.RELEASE,
            )

"""What the shop sells."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """A thing that can be bought."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    category = models.CharField(max_length=40)
    summary = models.CharField(max_length=160)
    description = models.TextField()
    facts = models.JSONField(default=list)  # [[label, value], ...], in the order to show
    price = models.PositiveIntegerField()  # in minor units: cents
    stock = models.PositiveIntegerField()
    art = models.SlugField()  # the drawing that the frontend has for it
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.name

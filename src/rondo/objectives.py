"""What a proof asks of a site: the load, as users make it, and the limits it must hold.

Part of the inventory (`rondo.inventory.Inventory.proof`); kept apart so that each fits in the head.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, WithJsonSchema

from rondo.model import Model
from rondo.words import (
    ErrorBudget,
    HeaderName,
    LocalPath,
    Name,
    Network,
    Probability,
    Seconds,
    Template,
    Text,
)

Status = Annotated[int, Field(ge=100, le=599)]
Body = Annotated[JsonValue, WithJsonSchema({"$comment": "text or JSON"})]


class Step(Model):
    """One request of a scenario; exactly one of get, post, put, patch and delete."""

    get: Template | None = None
    """Path to GET; {braces} stand for values. Example: "/api/products/{product}/" """
    post: Template | None = None
    """Path to POST to. Example: /api/orders/"""
    put: Template | None = None
    """Path to PUT to."""
    patch: Template | None = None
    """Path to PATCH."""
    delete: Template | None = None
    """Path to DELETE."""
    status: Status | None = None
    """Status that is right; without it any from 200 to 299. Example: 201"""
    contains: Text | None = None
    """Text that the answer must hold. Example: Freewheel"""
    headers: dict[HeaderName, Text] = {}
    """Request headers. Example: {Idempotency-Key: "{uuid}"}"""
    body: Body = None
    """Body: text is sent as it is, anything else as JSON; {braces} stand for values in both."""
    save: dict[Name, Text] = {}
    """Values to keep from a JSON answer: name to path, * for any.

    Example: {product: products.*.slug}
    """
    assets: bool = False
    """Ask for the scripts and styles that the page names as well, as a browser would."""
    name: Text | None = None
    """Name in reports; without it method and path."""


class Scenario(Model):
    """What one kind of user does, over and over."""

    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Share of all requests that these users make. Example: 2"""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    """Requests, in order."""


class ProofLimits(Model):
    """What must hold for a proof to pass."""

    errors: ErrorBudget = "0"
    """Requests that may be lost or answered wrongly: a number, or a share. Example: "0.1%" """
    p50: Seconds | None = None
    """Limit of the median latency, from the intended start. Example: 50ms"""
    p95: Seconds | None = None
    """Limit of the 95th percentile. Example: 300ms"""
    p99: Seconds | None = None
    """Limit of the 99th percentile. Example: 1s"""
    gap: Seconds | None = None
    """Longest time without a right answer; judged while the cluster changes. Example: 250ms"""
    change_p99: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """How many times the steady p99 the p99 of a phase of a change may be. Example: 3"""
    slow_backend: Annotated[float, Field(gt=1, le=1000)] = 1.10
    """How many times slower than the others a backend may be. Example: 1.25"""
    throughput: Probability = 0.98
    """Least share of the planned requests that must be answered. Example: 0.99"""
    certificate_days: Annotated[int, Field(ge=0, le=3650)] = 14
    """Days for which the certificate must still be valid. Example: 30"""


class Proof(Model):
    """The load by which a deployment is proved, and what must hold under it."""

    site: Name | None = None
    """Site to load; the only one, or the first, without it. Example: shop"""
    rate: Annotated[float, Field(gt=0, le=100_000)] = 200
    """Requests a second, evenly paced. Example: 500"""
    duration: Annotated[Seconds, Field(gt=0)] = 60
    """How long. Example: 2m"""
    users: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Users that share the rate; without it one for every 2 requests a second, at least 12.

    Example: 100
    """
    timeout: Annotated[Seconds, Field(gt=0)] = 30
    """Longest time for one answer; also the time that users get to finish at the end."""
    authority: LocalPath | None = None
    """PEM file of an own authority; without it the ones that this machine trusts.

    Example: tls/authority.pem
    """
    allow: tuple[Network, ...] = ()
    """Networks from which a run's secret is accepted; any by default. Example: [203.0.113.0/24]"""
    limits: ProofLimits = ProofLimits.model_construct()
    """What must hold."""
    scenario: dict[Name, Scenario] = {}
    """Kinds of users by name; without any, GET of the health checks and pages of the site."""

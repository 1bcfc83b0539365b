"""How often things were executed, as a load test asks for it."""

from __future__ import annotations

from django.db.models import Count

from .models import Execution, Order

_MOST_NAMED = 100


def of_prefix(prefix: str) -> dict[str, object]:
    """Counts over all executions whose key starts with the prefix, and the keys seen twice."""
    executions = Execution.objects.filter(key__startswith=prefix)
    orders = Order.objects.filter(key__startswith=prefix) if prefix else Order.objects
    repeated = (
        executions.values("key").annotate(times=Count("pk")).filter(times__gt=1).order_by("key")
    )
    return {
        "orders": orders.count(),
        "executions": executions.count(),
        "keys": executions.values("key").distinct().count(),
        "duplicates": repeated.count(),
        "duplicated": {row["key"]: row["times"] for row in repeated[:_MOST_NAMED]},
        "by_outcome": _shares(executions, "outcome"),
        "by_backend": _shares(executions, "backend"),
        "by_release": _shares(executions, "release"),
        "by_server": _shares(executions, "server"),
    }


def of_key(key: str) -> dict[str, object]:
    """Every execution of one request, in order."""
    executions = Execution.objects.filter(key=key).order_by("pk")
    return {
        "key": key,
        "executions": [
            {
                "outcome": execution.outcome,
                "backend": execution.backend,
                "server": execution.server,
                "release": execution.release,
                "at": execution.at.isoformat(),
            }
            for execution in executions
        ],
    }


def _shares(executions, field: str) -> dict[str, int]:
    rows = executions.order_by().values(field).annotate(times=Count("pk"))
    return {row[field]: row["times"] for row in rows.order_by(field)}

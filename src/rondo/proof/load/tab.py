"""An extra tab on Locust's web page: who serves how much, live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from flask import Response, jsonify, request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rondo.proof.load.live import Share

KEY: Final = "backends"

_COLUMNS: Final = {
    "backend": "Backend",
    "requests": "Requests",
    "share": "Share of its service (%)",
    "errors": "Errors",
    "median": "Median (ms)",
}


def add(web_ui: Any, base_path: str, shares: Callable[[], Sequence[Share]]) -> None:
    """Add the tab, and /backends with the same as JSON."""
    structure = [{"key": key, "title": title} for key, title in _COLUMNS.items()]
    web_ui.template_args["extended_tabs"] = [{"title": "Backends", "key": KEY}]
    web_ui.template_args["extended_tables"] = [{"key": KEY, "structure": structure}]

    def backends() -> Response:
        return jsonify(table(shares()))

    def with_backends(response: Response) -> Response:
        """Give the page its rows with the figures that it asks for anyway."""
        if request.path.endswith("/stats/requests") and response.is_json:
            data: dict[str, Any] = json.loads(response.get_data())
            data["extended_stats"] = [{"key": KEY, "data": table(shares())}]
            response.set_data(json.dumps(data))
        return response

    # Locust may ask for a login; what is added here asks as well.
    guarded = web_ui.auth_required_if_enabled(backends)
    web_ui.app.add_url_rule(f"{base_path}/backends", KEY, guarded)
    web_ui.app.after_request(with_backends)


def table(shares: Sequence[Share]) -> list[dict[str, object]]:
    """Write shares as the page shows them."""
    return [
        {
            "backend": each.backend,
            "requests": each.requests,
            "share": round(each.share * 100, 2),
            "errors": each.errors,
            "median": None if each.median is None else round(each.median * 1000, 2),
        }
        for each in shares
    ]

"""What every part of the inventory is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of the inventory: immutable, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,  # a version written 24 is text, too
        hide_input_in_errors=True,  # a traceback must not show what may be a secret
        defer_build=True,  # one validator for the whole, when the first inventory is read
    )

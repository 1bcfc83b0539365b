"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Machines are noisy: how long an example takes proves nothing.
settings.register_profile("rondo", deadline=None)
settings.load_profile("rondo")

"""Starting Keras without the start-up log of its backend, which would bury a one-line answer."""

from __future__ import annotations

from facefeat.networks.keras_backend import require_keras


def start_keras() -> None:
    """Import Keras and its backend. Raises MissingExtraError where that is not installed."""
    require_keras("this command")

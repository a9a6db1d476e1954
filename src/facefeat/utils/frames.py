"""The package pandas, imported in one place: tables of labels, predictions and audits are read with it."""

from __future__ import annotations

from typing import Any

from facefeat.errors import MissingExtraError


def import_pandas() -> Any:
    """The package pandas. Raises MissingExtraError where it is not installed: finding and editing faces need none."""
    try:
        import pandas
    except ImportError as e:
        if e.name != "pandas":
            raise
        raise MissingExtraError(
            'tables of labels and predictions need pandas, not installed here. Next: pip install "facefeat[audit]"'
        ) from None
    return pandas

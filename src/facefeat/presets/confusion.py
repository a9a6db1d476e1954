"""What the bundled preset predicts of the labelled faces that it was not trained on: its confusion, for a census."""

from __future__ import annotations

from pathlib import Path

from facefeat.errors import InputError
from facefeat.presets.store import find_preset
from facefeat.utils.files import read_json

FOLDER = Path(__file__).parent.parent / "assets" / "confusion"
_NEXT = "Next: facefeat evaluate --data DATA --predictions labelled.csv, then census --confusion labelled.csv"


def bundled_confusion(preset: str | Path | None, missing_ok: bool = False) -> Path:
    """The table of a preset's predictions beside labels, which `evaluation.predictions.read_predictions` reads.

    It is named after the SHA-256 of the preset's head, so that no other weights are taken for these. missing_ok: give
    the path where there is none, too.

    Raises InputError, with the command that makes one, where there is none for these weights.
    """
    folder = find_preset(preset)
    about = read_json(Path(folder) / "config.json")
    digest = str(about.get("weights_sha256", {}).get("head", ""))[:16]
    path = FOLDER / f"{digest}.csv"
    if not digest or not (missing_ok or path.is_file()):
        raise InputError(f"the confusion of preset {about.get('name')!r} is not known. {_NEXT}")
    return path

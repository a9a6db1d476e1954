"""What poor pictures cost a preset: accuracy, calibration error and gaps against the severity of 18 corruptions.

    python benchmarks/robustness.py DATA [--preset P] [--split val] [--faces 500] [--card] -o FOLDER

DATA: as `facefeat evaluate` takes it. FOLDER gets `robustness.json`, `robustness.csv` and a figure for each attribute;
the table of the middle severity is printed as Markdown, for the model card.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from facefeat import FaceFeatureModel
from facefeat.data import load_dataset
from facefeat.evaluation.card import robustness_lines, with_robustness
from facefeat.evaluation.robustness import SEVERITIES, measure_robustness
from facefeat.evaluation.robustness_figures import draw
from facefeat.presets.store import find_preset, read_card, update_card


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--split", default="val")
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--faces", type=int, help="so many of the split only, evenly spread")
    parser.add_argument("--severities", type=float, nargs="+", default=list(SEVERITIES))
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--card", action="store_true", help="put the table into the model card of the preset")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    model = FaceFeatureModel.from_preset(args.preset)
    faces = load_dataset(args.data, schema=model.schema, splits=args.splits).split(args.split)
    if args.faces:
        faces = faces.take(np.unique(np.linspace(0, len(faces) - 1, args.faces).astype(int)))
    found = measure_robustness(
        model.predict_faces,
        model.schema,
        faces,
        model.image_size,
        severities=args.severities,
        bootstrap=args.bootstrap,
        progress=lambda done, of: print(f"{done}/{of}", end="\r", file=sys.stderr, flush=True),
    )
    found.save(args.output)
    for attribute in model.schema.attributes:
        (args.output / f"robustness-{attribute}.png").write_bytes(draw(found, attribute))
    print("\n".join(robustness_lines(found)))
    if args.card:
        folder = find_preset(args.preset)
        update_card(folder, with_robustness(read_card(folder), found))


if __name__ == "__main__":
    main()

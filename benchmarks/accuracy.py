"""What the default preset scores: `python benchmarks/accuracy.py DATA [--split val] [--splits CSV] [--bootstrap 500]`.

The figures of `facefeat evaluate`, under the names that docs/benchmarks.md gives them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default="val")
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw UTKFace data")
    parser.add_argument("--bootstrap", type=int, default=500, help="resamples for the intervals")
    args = parser.parse_args()

    from facefeat import FaceFeatureModel
    from facefeat.data import load_dataset

    model = FaceFeatureModel.from_preset()
    dataset = load_dataset(args.data, schema=model.schema, splits=args.splits).split(args.split)
    report = model.evaluate(dataset, bootstrap=args.bootstrap)
    print(f"{model.name}, facefeat {version('facefeat')}, {report.faces:,} faces of {report.dataset}, {args.split}")
    print("what | value | 95 % interval")
    for line in figures(report, model.schema):
        print(line)


def figures(report: Any, schema: Any) -> Iterator[str]:
    """A row for each figure that the report has."""
    names = {}
    for name, attribute in schema.attributes.items():
        classes = len(attribute.classes)
        if attribute.axis is not None:
            names |= {
                f"{name}_mae": f"{name}: mean absolute error",
                f"{name}_accuracy": f"{name} class accuracy ({classes} classes)",
                f"{name}_one_off_accuracy": f"{name} class right or one off",
                f"{name}_coverage": f"{name} within the interval that is given with it",
            }
        else:
            names[f"{name}_accuracy"] = f"{name} accuracy" + (f" ({classes} classes)" if classes > 2 else "")
    for metric, title in names.items():
        if metric not in report.metrics:
            continue
        value, (low, high) = report.metrics[metric], report.intervals.get(metric, (None, None))
        years = metric.endswith("_mae")
        digits = 2 if years else 3
        interval = "" if low is None else f"{low:.{digits}f} to {high:.{digits}f}"
        yield f"{title} | {f'{value:.2f} years' if years else f'{value:.4f}'} | {interval}"


if __name__ == "__main__":
    main()

"""The label doctor against planted errors: `python benchmarks/doctor.py DATA [--splits CSV] [--faces 4000]`.

Of a labelled data set (UTKFace.tar, an imported folder) it draws faces, plants wrong labels in 5 % of them, once at
random and once the label of a near face (which is harder: a look-alike), and counts what `facefeat data doctor` finds.
Labels that are wrong already count as false alarms, so precision is a lower bound. Last, the doubtful labels of the
data as it is.

With `--own` nothing is planted: the doctor reads the whole split and the validation faces as they are. A label is
changed to the suggested class where that has `--sure` (0.9) or more; the other doubtful labels become unknown. Then
heads are trained on frozen features (the recipe `finetune-head`), on the labels as they are and on those corrected, and
both are measured on the validation faces, whose labels are once as they are and once corrected by the same rule.
`--output` keeps the sheets; `--preset` is the model whose latents the doctor reads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat import FaceFeatureModel
from facefeat.data import load_dataset
from facefeat.evaluation.doctor import diagnose
from facefeat.utils.neighbors import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from facefeat.data import FaceDataset

RECIPE = "finetune-head"


class Planted:
    """A data set with other labels."""

    def __init__(self, data: Any, labels: dict[str, np.ndarray]) -> None:
        self._data, self._labels = data, labels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def labels(self) -> dict[str, np.ndarray]:
        return self._labels


def latents_of(model: FaceFeatureModel, crops: Any) -> np.ndarray:
    """(N, D) latents of (N, S, S, 3) crops."""
    return np.concatenate([
        model.classifier.encode(np.asarray(crops[i : i + 256])) for i in range(0, len(crops), 256)
    ])  # fmt: skip


def corrected(whole: FaceDataset, issues: Sequence[pd.DataFrame], sure: float) -> FaceDataset:
    """The data with doubtful labels changed where the suggested class has `sure` or more, and unknown where less.

    Every face stays, so that the features of the frozen backbone are those of the labels as they are.
    """
    from facefeat.data.imported import as_dataset

    frame, targets = whole.table.copy(), whole.targets()
    place = {str(f): i for i, f in enumerate(frame["file"])}
    for issue in (r for table in issues for r in table.to_dict("records")):
        attribute = whole.schema[issue["attribute"]]
        unknown = np.full(targets[attribute.name].shape[1], np.nan)
        new = attribute.strategy.parse(attribute, issue["suggested"]).target
        targets[attribute.name][place[issue["file"]]] = new if issue["probability"] >= sure else unknown
    for name, a in whole.schema.attributes.items():
        for column, values in a.strategy.columns(a, targets[name]).items():
            frame[column] = values
    return as_dataset(whole.with_table(frame, "corrected by the doctor"))


def own(source: Path, splits: Path | None, split: str, preset: str | None, sure: float, output: Path) -> None:
    """The doctor on the labels as they are, and what correcting them changes."""
    from facefeat.evaluation.decisions import save_diagnosis

    whole = load_dataset(source, splits=splits)
    model = FaceFeatureModel.from_preset(preset) if preset else FaceFeatureModel.from_preset()
    issues = []
    for name in (split, "val"):
        data = whole.split(name)
        crops = data.crops(model.image_size)
        found = diagnose(data, latents_of(model, crops), crops)
        save_diagnosis(found, crops, output / f"sheet-{name}")
        issues.append(found.issues)
        print(f"{name}:", *found.sentences(), sep="\n  ")
        for attribute, part in found.issues.groupby("attribute"):
            changed = int((part["probability"] >= sure).sum())
            print(f"  {attribute}: {changed:,} changed, {len(part) - changed:,} made unknown", flush=True)
    retrained(whole, corrected(whole, issues, sure), split)


def retrained(whole: FaceDataset, better: FaceDataset, split: str) -> None:
    """Heads trained on both labels, measured on both labels of the validation faces."""
    from facefeat.evaluation.compare import compare
    from facefeat.evaluation.predictions import prediction_frame, read_predictions
    from facefeat.evaluation.report import predict_dataset

    trained = {}
    for labels, data in (("as they are", whole), ("corrected", better)):
        # The epoch is chosen on the validation labels as they are, of both.
        trained[labels] = FaceFeatureModel.from_recipe(RECIPE, schema=whole.schema)
        trained[labels].fit(data.split(split), whole.split("val"), RECIPE)
        print(f"trained on labels {labels}", flush=True)
    for labels, data in (("as they are", whole.split("val")), ("corrected", better.split("val"))):
        tables = [
            read_predictions(prediction_frame(predict_dataset(m.classifier, data), data), name=f"labels {t}")
            for t, m in trained.items()
        ]
        print(f"validation labels {labels}:")
        for r in compare(*tables).table.query("by == 'everyone'").to_dict("records"):
            between = f"{r['difference_low']:+.4f} to {r['difference_high']:+.4f}"
            print(f"  {r['attribute']} {r['measure']}, {r['faces']:,} faces: {r['a']:.4f} and {r['b']:.4f}, "
                  f"difference {r['difference']:+.4f} ({between})", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--own", action="store_true", help="the labels as they are, and training on them corrected")
    parser.add_argument("--sure", type=float, default=0.9)
    parser.add_argument("--preset")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.own:
        with tempfile.TemporaryDirectory() as temporary:
            folder = args.output or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            own(args.data, args.splits, args.split, args.preset, args.sure, folder)
        return
    model = FaceFeatureModel.from_preset()
    data = load_dataset(args.data, splits=args.splits).split(args.split)
    rng = np.random.default_rng(0)
    data = data.take(np.sort(rng.permutation(len(data))[: args.faces]))
    crops = data.crops(model.image_size)
    z = latents_of(model, crops)
    near, _ = nearest(z, 15, "cosine")
    for kind in ("random", "neighbour"):
        labels, rows = {n: v.copy() for n, v in data.labels().items()}, {}
        for name in ("gender", "race"):
            classes, true = len(data.schema[name].classes), data.labels()[name]
            chosen = rng.permutation(np.flatnonzero(true >= 0))[: int(args.share * len(true))]
            if kind == "random":
                new = (true[chosen] + rng.integers(1, classes, len(chosen))) % classes
            else:  # the first near face with another label gives it; where all agree, the face stays
                other = true[near[chosen]]
                found = (other != true[chosen][:, None]) & (other >= 0)
                chosen, other, found = (v[found.any(axis=1)] for v in (chosen, other, found))
                new = other[np.arange(len(chosen)), found.argmax(axis=1)]
            labels[name][chosen], rows[name] = new, set(chosen.tolist())
        issues = diagnose(Planted(data, labels), z, crops).issues  # type: ignore[arg-type]
        for name, planted in rows.items():
            doubted = set(issues.query("attribute == @name")["row"])
            hits = len(doubted & planted)
            print(f"{kind}, {name}: {len(planted)} planted; precision {hits / max(len(doubted), 1):.1%}, "
                  f"recall {hits / max(len(planted), 1):.1%} ({len(doubted)} doubted)", flush=True)  # fmt: skip
    print("as it is:")
    for sentence in diagnose(data, z, crops).sentences():
        print(f"  {sentence}", flush=True)


if __name__ == "__main__":
    main()

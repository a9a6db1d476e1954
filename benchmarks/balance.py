"""The last step of the bundled preset: `python benchmarks/balance.py PRESET DATA -o OUT [--splits CSV]`.

The last layer of one attribute is fitted anew on the latents of the training faces, so that each group of another
attribute weighs the same (Kirichenko et al., "Last layer re-training is sufficient for robustness to spurious
correlations", ICLR 2023): by default gender's, with the races as groups. It must be linear in the latent, as that of
the head `mlp` without a trunk is. The strength of its L2 penalty is the one with the best worst group of the
validation split, on which the new layer is calibrated, too; a table shows what each gave. On a group of 150 faces one
face is 0.7 points, so a better worst group may be chance.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from facefeat import FaceFeatureModel
from facefeat.data import FaceDataset, load_dataset
from facefeat.evaluation.calibration import calibrate
from facefeat.evaluation.card import model_card
from facefeat.training import TrainingLog

STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
"""scikit-learn's C, the inverse of the penalty; the faces' weights have the mean 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("data")
    parser.add_argument("--splits", help="CSV with `file` and `split`, for raw UTKFace data")
    parser.add_argument("--attribute", default="gender")
    parser.add_argument("--groups", default="race", metavar="ATTRIBUTE")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    model = FaceFeatureModel.from_preset(args.preset)
    classifier = model.classifier
    faces = load_dataset(args.data, schema=model.schema, splits=args.splits)
    training, validation = faces.split("train"), faces.split("val")
    found = [_labelled(s, args.attribute, args.groups) for s in (training, validation)]
    latents = [np.concatenate(list(_latents(model, s)))[rows] for s, (rows, _, _) in zip(
        (training, validation), found, strict=True
    )]  # fmt: skip
    (_, labels, groups), (_, wanted, held) = found
    scaled = StandardScaler().fit(latents[0])
    weights = (1 / np.bincount(groups))[groups]
    weights *= len(weights) / weights.sum()

    def worst(right: np.ndarray) -> float:
        return min(float(right[held == g].mean()) for g in np.unique(held))

    before = classifier.predict(validation.crops(model.image_size)[:]).probabilities[args.attribute]
    right = before[found[1][0]].argmax(axis=1) == wanted
    print(f"strength | {args.attribute}, {len(wanted):,} val faces | worst of {args.groups}")
    print(f"as it is | {right.mean():.4f} | {worst(right):.4f}")
    best, chosen = -1.0, None
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=500)
        fitted.fit(scaled.transform(latents[0]), labels, sample_weight=weights)
        right = fitted.predict(scaled.transform(latents[1])) == wanted
        print(f"{strength:g} | {right.mean():.4f} | {worst(right):.4f}", flush=True)
        if worst(right) > best:
            best, chosen = worst(right), fitted
    assert chosen is not None

    kernel = chosen.coef_.T / scaled.scale_[:, None]  # (D, K), or (D, 1) for two classes
    bias = chosen.intercept_ - scaled.mean_ @ kernel
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    layer = classifier.head_model.get_layer(f"{args.attribute}_logits")
    if layer.kernel.shape != kernel.shape:
        sys.exit(f"{args.preset}: the layer {layer.name!r} reads {layer.kernel.shape[0]} numbers, not the latent.")
    layer.set_weights([kernel.astype("float32"), bias.astype("float32")])
    classifier.use_keras()
    new = calibrate(model.schema, classifier.logits(validation.crops(model.image_size)[:]), validation)
    name, old = args.attribute, classifier.calibration
    classifier.calibration = replace(  # the other attributes keep theirs
        old, attributes={**old.attributes, name: new.of(name)}
    )
    log = model.metadata.training
    if log is None:
        sys.exit(f"{args.preset} has no training.json.")
    command = f"python benchmarks/balance.py RUN/preset DATA --attribute {name} --groups {args.groups} -o PRESET"
    model.save(args.output, card=model_card(model, model.evaluate(validation), TrainingLog(**log), command))
    print(args.output)


def _labelled(faces: FaceDataset, attribute: str, groups: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that have both labels, and the labels."""
    labels = faces.labels()
    rows = np.flatnonzero((labels[attribute] >= 0) & (labels[groups] >= 0))
    return rows, labels[attribute][rows], labels[groups][rows]


def _latents(model: FaceFeatureModel, faces: FaceDataset) -> list[np.ndarray]:
    """(N, D) of the classifier, in parts."""
    crops = faces.crops(model.image_size)
    return [model.classifier.encode(crops[i : i + 1024]) for i in range(0, len(crops), 1024)]


if __name__ == "__main__":
    main()

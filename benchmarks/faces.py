"""How near drawn faces are to real ones: `python benchmarks/faces.py READER PHOTOS... [--preset P] [--limit N]`.

READER: another preset, whose features are compared: one that had no part in the decoder's training, such as
`cc0-age-gender` of the plugin facefeat-cc0. PHOTOS: folders of photos that neither was trained on.

Two distances between sets of faces, in READER's features divided by their standard deviations among the real faces: the
kernel distance (Binkowski et al. 2018, "Demystifying MMD GANs": cubic polynomial kernel, unbiased, times 1,000) and the
Frechet distance (Heusel et al. 2017) on the first 32 principal components, since a few hundred faces do not tell more.
Real against real, two halves of the photos, is what a perfect decoder would have.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
from pathlib import Path

import numpy as np

from facefeat import FaceFeatureModel, ImageError, InputError
from facefeat.latent.portraits import Portraits

COMPONENTS = 32
AT_ONCE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--limit", type=int, default=400, help="photos, drawn at random")
    args = parser.parse_args()
    model, reader = FaceFeatureModel.from_preset(args.preset), FaceFeatureModel.from_preset(args.reader)
    real = aligned(model, sorted(p for folder in args.photos for p in folder.rglob("*.jpg")), args.limit)
    print(f"{os.cpu_count()} cores, {platform.machine()}, {len(real)} photos, features of {args.reader}")
    odd, even = real[1::2], real[::2]
    sets = {
        "real, the other half": even,
        "reconstructed": drawn(model, even),
        "composed": model.compose(count=64).crops,
        "composed of classes": np.concatenate([
            model.compose({"age": years, "gender": gender, "race": race}, seed=seed).crops
            for seed, (years, gender, race) in enumerate(itertools.product(
                (20, 35, 50, 65), model.schema["gender"].classes, model.schema["race"].classes))
        ]),
    }  # fmt: skip
    first = features(reader, odd)
    scale = np.maximum(first.std(axis=0), 1e-6)
    mean, axes = first.mean(axis=0), np.linalg.svd((first - first.mean(axis=0)) / scale, full_matrices=False)[2]
    print("faces against half of the real ones | faces | kernel distance | Frechet distance")
    for name, faces in sets.items():
        a, b = (np.asarray((f - mean) / scale) for f in (first, features(reader, faces)))
        low = [v @ axes[:COMPONENTS].T for v in (a, b)]
        print(f"{name} | {len(faces)} | {1000 * kernel_distance(a, b):.2f} | {frechet_distance(*low):.2f}")


def aligned(model: FaceFeatureModel, files: list[Path], limit: int) -> np.ndarray:
    """(N, F, F, 3) uint8: the main face of photos at random, as large as the decoder draws."""
    from facefeat.pipeline import align_at

    crops: list[np.ndarray] = []
    for i in np.random.default_rng(0).permutation(len(files)):
        try:
            crops.append(align_at([files[i]], model.detector, model.alignment, (model.decoder.face_size,))[0][0])
        except (InputError, ImageError):  # no face in it
            continue
        if len(crops) == limit:
            break
    return np.stack(crops)


def drawn(model: FaceFeatureModel, crops: np.ndarray) -> np.ndarray:
    return np.concatenate([Portraits.of(model, crops[i : i + AT_ONCE]).reconstructions
                           for i in range(0, len(crops), AT_ONCE)])  # fmt: skip


def features(reader: FaceFeatureModel, faces: np.ndarray) -> np.ndarray:
    """(N, D) float64."""
    return np.concatenate([reader.encode(faces[i : i + AT_ONCE]) for i in range(0, len(faces), AT_ONCE)]).astype("f8")


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1) ** 3."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: np.ndarray) -> float:
        k = kernel(x, x)
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between the normal distributions of the two sets' means and covariances."""
    from scipy.linalg import sqrtm

    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(first @ second))
    return float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(first + second - 2 * root))


if __name__ == "__main__":
    main()

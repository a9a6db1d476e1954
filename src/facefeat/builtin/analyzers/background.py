"""The analyzer `background`: which coordinates of the latent encode the background, and their effect on predictions.

The question is the original experiment's, which looked at six pictures of similar women, saw coordinates that changed
with the background, and was misled: among hundreds of coordinates some change in any six pictures. Here every face is
its own control, the coordinates are found on one half of the faces by a permutation test corrected for all of them, and
what masking them does is measured on the other half, and compared with as many coordinates drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.background_figures import draw_coordinates, draw_faces, draw_masking
from facefeat.builtin.analyzers.common import check_latents, read_labels
from facefeat.builtin.analyzers.masks import blanked, folder_masks, landmark_mask
from facefeat.builtin.analyzers.statistics import bootstrap_mean, holm, sign_flips, two_sided
from facefeat.errors import InputError
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import interval, resampled_means

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceSet, FloatArray, UInt8Array

WHAT = "analyzer 'background'"
SIGNIFICANT = 0.05
_MOST = 10
"""Coordinates of the summary, those with the largest share of background."""
LEAST = 8


@dataclass(frozen=True)
class Parts:
    """M faces in three forms. rows: (M,) which they are. masks: (M, S, S) bool, the face.

    crops: whole, face alone, background alone, each (M, S, S, 3) uint8; latents: the same, each (M, D).
    """

    rows: np.ndarray
    masks: np.ndarray
    crops: tuple[UInt8Array, UInt8Array, UInt8Array]
    latents: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Background:
    """For the settings see `facefeat.builtin.analyzers`."""

    masks: str = ""
    grow: float = 1.9
    fill: str = "mean"
    limit: int = 1000
    draws: int = 20
    top: int = 0
    seed: int = 0
    needs_faces = True

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D). labels: attribute -> (N,) classes. model and faces: needed, to read changed pictures.

        The table has a row for each coordinate (`kind` "coordinate"): `background_share`, 0 to 1, what of its change
        belongs to the background: its mean squared change when the background is hidden, over the sum of that and the
        one when the face is hidden; its 95 % interval, `low` and `high`; `r_face` and `r_background`, correlation of
        the whole crop's value with that of the part; `p`, for more change by the background than by the face, corrected
        for all coordinates; `carries_background`. Then a row for each attribute (`kind` "masking"): accuracy before and
        after masking these, as far as they are attribute features; their `difference` with its interval, and p
        corrected for the attributes; the difference that as many random coordinates make, with the least and the most
        of the draws.
        Raises InputError without model and faces, or for fewer than 8 faces.
        """
        pd = import_pandas()
        z = check_latents("background", latents, labels, LEAST)
        if model is None or faces is None:
            raise InputError(
                f"{WHAT} needs the model and the faces' pictures. "
                "Next: facefeat analyze background --data DIR --output DIR"
            )
        parts = self._parts(model, faces, len(z))
        half = np.random.default_rng(self.seed).permutation(len(parts.rows)) < len(parts.rows) // 2
        coordinates = self._coordinates(parts, half)
        # No head sees a decoder's detail code, which comes last: masking it would do nothing.
        seen = model.decoder.feature_dim if getattr(model, "has_decoder", False) else z.shape[1]
        chosen = np.flatnonzero(coordinates["carries_background"][:seen])
        if self.top:
            chosen = np.argsort(-coordinates["background_share"].to_numpy()[:seen], kind="stable")[: self.top]
        masking = self._masking(model, faces, labels, parts, half, chosen, seen)
        figures = {
            "background-faces": draw_faces(parts.crops, [faces.files[r] for r in parts.rows]),
            "background-coordinates": draw_coordinates(coordinates, int(half.sum())),
        }
        if len(masking):
            figures["background-masking"] = draw_masking(masking, len(chosen), seen)
        table = pd.concat([coordinates.assign(kind="coordinate"), masking.assign(kind="masking")], ignore_index=True)
        table = table[["kind", *[c for c in table.columns if c != "kind"]]]
        most = table[table["kind"] == "coordinate"].nlargest(_MOST, "background_share")
        summary = pd.concat([table[table["kind"] == "masking"], most]).dropna(axis=1, how="all")
        return Analysis("background", table, figures, summary=summary)

    def _parts(self, model: FaceFeatureModel, faces: FaceSet, n: int) -> Parts:
        rows = np.sort(np.random.default_rng(self.seed).permutation(n)[: self.limit])
        size = model.image_size
        if self.masks:
            folder = Path(self.masks)
            if not folder.is_dir():
                raise InputError(f"{WHAT}: no such folder of masks. Received: {self.masks!r}.")
            rows, masks = folder_masks(folder, faces, rows, size)
            if len(rows) < LEAST:
                raise InputError(f"{WHAT} needs masks of {LEAST} faces or more. Received: {len(rows)}.")
        else:
            masks = np.broadcast_to(landmark_mask(model.alignment, size, self.grow), (len(rows), size, size))
        crops = faces.crops_at(rows)
        forms = (crops, blanked(crops, ~masks, self.fill), blanked(crops, masks, self.fill))
        whole, face, around = (np.asarray(model.encode(c), "float64") for c in forms)
        return Parts(rows, masks, forms, (whole, face, around))

    def _coordinates(self, parts: Parts, half: np.ndarray) -> pd.DataFrame:
        """One row for each coordinate, from the faces of the first half."""
        pd = import_pandas()
        from facefeat.builtin.analyzers.statistics import correlation

        whole, face, around = (z[half] for z in parts.latents)
        # What a flat fill does to all faces alike says nothing of the background: only deviations from it count.
        lost_around = (whole - face - (whole - face).mean(axis=0)) ** 2  # (M, D), background hidden
        lost_face = (whole - around - (whole - around).mean(axis=0)) ** 2  # face hidden
        both = lost_around.mean(axis=0) + lost_face.mean(axis=0)
        low, high = _share_ends(lost_around, lost_face, self.seed)
        # Not the squares themselves: of a heavy tail a few faces would decide the test.
        p = sign_flips(np.sqrt(lost_around) - np.sqrt(lost_face), self.seed)
        share = lost_around.mean(axis=0) / np.where(both > 0, both, np.inf)
        return pd.DataFrame(
            {
                "coordinate": np.arange(whole.shape[1]),
                "background_share": share,
                "low": low,
                "high": high,
                "r_face": correlation(whole, face),
                "r_background": correlation(whole, around),
                "p": p,
                "carries_background": (p < SIGNIFICANT) & (share > 0.5),
            }
        )

    def _masking(
        self,
        model: FaceFeatureModel,
        faces: FaceSet,
        labels: Mapping[str, Any],
        parts: Parts,
        half: np.ndarray,
        chosen: np.ndarray,
        seen: int,
    ) -> pd.DataFrame:
        """One row for each attribute, from the faces of the second half. Empty where there is nothing to mask.

        seen: how many coordinates the head sees, the first ones: `chosen` and the random ones are among them.
        """
        pd = import_pandas()
        rest = ~half
        read = {n: v for n, v in read_labels(labels, model, faces).items() if n in model.schema.attributes}
        if not len(chosen) or not read:
            return pd.DataFrame()
        crops, mean = parts.crops[0][rest], parts.latents[0][rest].mean(axis=0)
        rows = parts.rows[rest]
        rng = np.random.default_rng(self.seed)
        random = [rng.permutation(seen)[: len(chosen)] for _ in range(self.draws)]
        truth = {n: np.asarray((*v.classes, ""), object)[v.index[rows]] for n, v in read.items()}

        def right(coordinates: Any) -> dict[str, np.ndarray]:
            said = model.predict_without(crops, coordinates, mean).labels
            return {n: (said[n] == truth[n])[truth[n] != ""].astype("float64") for n in read}

        before, after, controls = right([]), right(chosen), [right(r) for r in random]
        found = []
        for name in read:
            if not len(before[name]):
                continue
            difference = after[name] - before[name]  # each face against itself: -1, 0 or 1
            low, high = bootstrap_mean(difference[:, None], self.seed)
            control = [float((c[name] - before[name]).mean()) for c in controls]
            found.append(
                {
                    "attribute": name,
                    "faces": len(difference),
                    "accuracy": float(before[name].mean()),
                    "accuracy_masked": float(after[name].mean()),
                    "difference": float(difference.mean()),
                    "low": float(low[0]),
                    "high": float(high[0]),
                    "p": two_sided(difference, self.seed),
                    "random_difference": float(np.mean(control)),
                    "random_low": float(np.min(control)),
                    "random_high": float(np.max(control)),
                }
            )
        table = pd.DataFrame(found)
        if len(table):
            table["p"] = holm(table["p"].to_numpy())
        return table


def _share_ends(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of mean(a) / (mean(a) + mean(b)), faces drawn again, for each column: (D,) each."""
    x, y = np.split(resampled_means(np.concatenate([a, b], axis=1), 500, seed), 2, axis=1)
    return interval(x / np.where(x + y > 0, x + y, np.inf))

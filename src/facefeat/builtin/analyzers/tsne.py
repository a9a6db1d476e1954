"""The analyzer `tsne`: a map of latents in two dimensions, which keeps neighbours together.

Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import check_latents, label_columns, read_labels, scatter
from facefeat.types import Analysis

if TYPE_CHECKING:
    from facefeat.types import FaceSet, FloatArray

WHAT = "analyzer 'tsne'"
REDUCED = 50
"""Principal components that the map is made from: the rest is noise that only costs time."""


@dataclass(frozen=True)
class Tsne:
    """For the settings see `facefeat.builtin.analyzers`."""

    perplexity: float = 30.0
    limit: int = 3000
    seed: int = 0

    def analyze(
        self, latents: FloatArray, labels: Mapping[str, Any], model: Any = None, faces: FaceSet | None = None
    ) -> Analysis:
        """latents: (N, D), N at least 4. labels: attribute -> (N,) classes.

        The table has a row for each latent on the map, in order: its `row`, its `file` where known, `x`, `y`, and its
        class of each attribute. One figure for each attribute. Raises InputError for latents that are too few or not
        finite.
        """
        import pandas as pd
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE

        z = check_latents("tsne", latents, labels, 4)
        n = len(z)
        rows = np.sort(np.random.default_rng(self.seed).permutation(n)[: self.limit])
        few = PCA(min(REDUCED, len(rows), z.shape[1]), random_state=self.seed).fit_transform(z[rows])
        # Where all latents are one point there is no direction to start from.
        start = "pca" if few[:, 0].std() > 0 and few.shape[1] > 1 else "random"
        perplexity = min(self.perplexity, (len(rows) - 1) / 3)
        places = TSNE(perplexity=perplexity, init=start, random_state=self.seed, n_jobs=1).fit_transform(few)
        read = read_labels(labels, model, faces)
        table: dict[str, Any] = {"row": rows}
        if faces is not None:
            table["file"] = [faces.files[r] for r in rows]
        table |= {"x": places[:, 0], "y": places[:, 1]}
        everywhere = np.full((n, 2), np.nan)
        everywhere[rows] = places
        title = f"t-SNE of {len(rows):,} latents"
        figures = {f"tsne-{k}": scatter(title, everywhere, v) for k, v in read.items() if v.known.any()}
        return Analysis("tsne", pd.DataFrame(table | {k: v[rows] for k, v in label_columns(read).items()}), figures)

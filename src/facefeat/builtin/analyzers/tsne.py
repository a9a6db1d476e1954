"""The analyzer `tsne`: a map of latents in two dimensions, which keeps neighbours together.

Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import check_latents, label_columns, read_labels, scatter
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import tsne

if TYPE_CHECKING:
    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.types import FloatArray


@dataclass(frozen=True)
class Tsne:
    """For the settings see `facefeat.builtin.analyzers`."""

    perplexity: float = 30.0
    limit: int = 3000
    seed: int = 0

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 4. labels: attribute -> (N,) classes.

        The table has a row for each latent on the map, in order: its `row`, its `file` where known, `x`, `y`, and its
        class of each attribute. One figure for each attribute. Raises InputError for latents that are too few or not
        finite.
        """
        pd = import_pandas()
        z = check_latents("tsne", latents, labels, 4)
        n = len(z)
        rows = np.sort(np.random.default_rng(self.seed).permutation(n)[: self.limit])
        places = tsne(z[rows], self.seed, self.perplexity)
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

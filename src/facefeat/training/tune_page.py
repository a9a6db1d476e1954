"""The page of a search: its plots, its trials and its best recipe, as one HTML file."""

from __future__ import annotations

import base64
import html
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.utils.atomic import write_text

if TYPE_CHECKING:
    from facefeat.training.recipe import Recipe

PLOTS = (
    ("plot_optimization_history", "The score of each trial in the order of their start, and the best so far."),
    ("plot_intermediate_values", "The score of each trial after every epoch; lines that end early were pruned."),
    ("plot_param_importances", "How much of the spread of the scores each setting explains (fANOVA)."),
    ("plot_slice", "The score against each setting alone; the darker, the later the trial."),
    ("plot_parallel_coordinate", "Every trial as a line through its settings."),
)
FEWEST = 4
"""Complete trials below which an importance is meaningless."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border: 1px solid #bbb; padding: .2rem .5rem; text-align: left; white-space: nowrap; }
pre { overflow-x: auto; background: #f3f3f3; padding: 1rem; }
"""


def write_page(study: Any, recipe: Recipe, folder: Path) -> Path:
    """Write `index.html` to the folder and return it. Raises InputError where it cannot be written."""
    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    parts = [_trials(study)]
    for name, meaning in PLOTS:
        if name != "plot_intermediate_values" and len(complete) < (FEWEST if "importances" in name else 2):
            continue
        parts.append(f"<p>{html.escape(meaning)}</p>{_plot(study, name, meaning)}")
    title = f"Search from {recipe.name}"
    best = (folder / "best.toml").read_text("utf-8") if (folder / "best.toml").is_file() else ""
    body = f"<h1>{html.escape(title)}</h1>" + "".join(parts)
    body += f"<h2>The best recipe</h2><pre>{html.escape(best)}</pre>"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><body>{body}</body></html>"
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _plot(study: Any, name: str, meaning: str) -> str:
    """One of Optuna's matplotlib plots as an <img>."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt
    from optuna.exceptions import ExperimentalWarning
    from optuna.visualization import matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        axes = getattr(plots, name)(study)
    figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
    if name in ("plot_slice", "plot_parallel_coordinate"):
        figure.set_size_inches(max(10, 2.2 * len(study.best_params)), 5)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{html.escape(meaning)}" src="data:image/png;base64,{encoded}">'


def _trials(study: Any) -> str:
    trials = study.get_trials(deepcopy=False)
    keys = sorted({k for t in trials for k in t.params})
    head = "".join(f"<th>{html.escape(k)}</th>" for k in ("trial", "state", "score", *keys))
    order = sorted(trials, key=lambda t: -(t.value if t.state.name == "COMPLETE" else -1))
    lines = []
    for t in order:
        score = f"{t.value:.4f}" if t.state.name == "COMPLETE" else ""
        values = [f"{v:.4g}" if isinstance(v := t.params.get(k, ""), float) else str(v) for k in keys]
        cells = "".join(f"<td>{html.escape(c)}</td>" for c in (str(t.number), t.state.name.lower(), score, *values))
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"

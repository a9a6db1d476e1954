"""The audit as files: one self-contained HTML page, JSON, CSV, and the figures as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation.figures import FigureFile, draw_all
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import csv_link, csv_of
from facefeat.evaluation.summary import charts, labelled, sentences
from facefeat.utils.atomic import atomic_folder
from facefeat.utils.json_text import json_text

if TYPE_CHECKING:
    from facefeat.evaluation.audit import Audit
    from facefeat.evaluation.sections import Section

OURS = {"report.html", "report.json", "by_group.csv", "figures"}

SECTIONS = (
    ("confusion", "What is taken for what"),
    ("errors", "How far off the numbers are"),
    ("reliability", "Whether the probabilities hold"),
    ("answered", "What it gains to answer only when sure"),
    ("groups", "Who is read well, and who is not"),
    ("robustness", "What poor pictures cost"),
    ("minors", "Finding faces under 18"),
    ("map", "How the model sees these faces"),
)


def save_audit(audit: Audit, folder: Path) -> Path:
    """Write the folder atomically. Raises InputError as `Audit.save`."""
    with atomic_folder(folder, "a report", OURS.__contains__) as new:
        (new / "figures").mkdir()
        figures = list(draw_all(audit))
        for figure in figures:
            (new / "figures" / f"{figure.name}.png").write_bytes(figure.png)
        (new / "report.json").write_text(json_text(audit.to_dict()) + "\n", "utf-8")
        (new / "by_group.csv").write_text(csv_of(audit.report.by_group), "utf-8")
        (new / "report.html").write_text(render(audit, figures), "utf-8")
    return folder


def render(audit: Audit, figures: Sequence[FigureFile]) -> str:
    """The page: nothing in it points outside. All text is escaped: a file name may hold anything."""
    # Tables of the same key as figures stand below them.
    sections = [
        (key, title, [f for f in figures if f.section == key], [s for s in audit.sections if _belongs(s, key)])
        for key, title in SECTIONS
    ]
    placed = {s.key for _, _, found, tables in sections if found for s in tables}
    return template("report.html.jinja").render(
        audit=audit,
        sentences=sentences(audit),
        charts=charts(audit),
        about=audit.about,
        schema=audit.schema,
        sections=[s for s in sections if s[2]],
        more=[s for s in audit.sections if s.key not in placed],
        headlines=_headlines(audit),
        classes=audit.classes.to_dict("records"),
        groups=audit.groups.to_dict("records"),
        measures=[m for m in _measures(audit) if m in audit.groups.columns],
        coverages=_coverages(audit),
        disparities=audit.disparities.to_dict("records"),
        small=SMALL_GROUP,
        worst=_worst(audit),
    )


def template(name: str) -> Any:
    """A template of this folder; all text that goes in is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(wanted: str) -> str:
        return resources.files(__package__).joinpath(wanted).read_text("utf-8")

    environment = Environment(
        loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "png": _inline, "photo": _photo, "number": _number, "percent": _percent, "csv": csv_link,
    }  # fmt: skip
    return environment.get_template(name)


def save_sections(
    folder: Path, title: str, what: str, sentences: Sequence[str], sections: Sequence[Section], about: dict[str, Any]
) -> Path:
    """Write a page of tables atomically: `what`.html, `what`.json and a CSV for each table.

    Raises InputError for a folder that holds anything else or cannot be written.
    """
    from facefeat._version import __version__

    names = {f"{what}.html", f"{what}.json", *(f"{s.key}.csv" for s in sections)}
    data = {"format": f"facefeat-{what}", "version": 1, "summary": list(sentences), "about": about,
            "sections": [s.to_dict() for s in sections]}  # fmt: skip
    page = template("sections.html.jinja").render(
        title=title, sentences=sentences, sections=sections, command=about.get("command", ""), version=__version__,
        json_name=f"{what}.json",
    )  # fmt: skip
    with atomic_folder(folder, f"a {what}", lambda n: n in names or n.endswith(".csv")) as new:
        (new / f"{what}.html").write_text(page, "utf-8")
        (new / f"{what}.json").write_text(json_text(data) + "\n", "utf-8")
        for s in sections:
            (new / f"{s.key}.csv").write_text(csv_of(s.table), "utf-8")
    return folder


def _belongs(section: Section, key: str) -> bool:
    return section.key == key or section.key.startswith(f"{key}-")


def _headlines(audit: Audit) -> list[dict[str, Any]]:
    out = []
    for key, (name, title, meaning) in _measures(audit).items():
        if key in audit.report.metrics:
            low, high = audit.report.intervals.get(key, (np.nan, np.nan))
            value, what = audit.report.metrics[key], f"{name.replace('_', ' ')}: {title}"
            if key in audit.report.baselines:
                meaning += f"; always the most frequent class: {audit.report.baselines[key]:.3f}"
            if key.endswith("_ece") and name in audit.calibration_errors:
                chance = audit.calibration_errors[name]["ece_of_a_perfect_model"]
                meaning += f"; a perfect model has {chance:.3f} on so many faces, by chance"
            n = labelled(audit, name)
            out.append({"name": what, "meaning": meaning, "value": value, "low": low, "high": high, "faces": n})
    return out


def _measures(audit: Audit) -> dict[str, tuple[str, str, str]]:
    """Metric -> (attribute, title, meaning), as the kinds of the attributes have them."""
    return {
        f"{name}_{measure}": (name, *about)
        for name, a in audit.schema.attributes.items()
        for measure, about in a.strategy.measures.items()
    }


def _coverages(audit: Audit) -> list[tuple[str, float, float]]:
    """(attribute, share of faces that its interval is to hold, share that it holds)."""
    found = []
    for name in audit.schema.attributes:
        levels = (audit.about.get("calibration") or {}).get(name, {}).get("interval")
        if levels is not None and f"{name}_coverage" in audit.report.metrics:
            found.append((name, levels["coverage"], audit.report.metrics[f"{name}_coverage"]))
    return found


def _worst(audit: Audit) -> list[str]:
    """The widest gap of each accuracy over single attributes, as sentences."""
    out: list[Any] = []
    found = audit.disparities
    if not len(found):
        return out
    for measure, part in found[~found["by"].str.contains(" x ")].groupby("measure", sort=False):
        row = part.loc[part["value"].replace(np.inf, 1e9).idxmax()]
        what = str(measure).removesuffix("_accuracy").replace("_", " ")
        out.append(
            f"{what}: right for {row['best_accuracy']:.0%} of “{row['best']}”, but for {row['worst_accuracy']:.0%} of "
            f"“{row['worst']}”"
        )
    return out


def _inline(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _photo(crop: np.ndarray) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(crop).save(out, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _number(value: Any, digits: int = 3) -> str:
    """A number with `digits` decimals; a dash where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) and np.isfinite(value) else "–"


def _percent(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, int | float) and np.isfinite(value) else "–"

"""About: what the answers are, whom the model reads worse, whose data it is, and what not to use it for."""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING

from facefeat_demo.inputs import fresh
from facefeat_demo.text import group_rows

if TYPE_CHECKING:
    from facefeat_demo.host import Host
    from facefeat_demo.photos import Kept

_FEW = 50  # faces of a group, below which its figures say little

_WHAT = """
<h2>What an answer is</h2>
<p>The model has seen thousands of faces with an age, a gender and a race that other people had written down. It repeats
what such people would probably write under your photo. That is a guess of how a face <em>appears</em>. Who somebody is
cannot be seen: gender and race are not properties of a picture.</p>
<h2>What not to use it for</h2>
<ul>
  <li>Deciding anything about anybody: work, credit, housing, school, insurance, medicine, policing, access.</li>
  <li>Telling whether somebody is old enough for something.</li>
  <li>Identifying, tracking or singling out people, or members of a group.</li>
  <li>Photos of people who would not want it.</li>
</ul>
<p>In many countries such uses are against the law.</p>
"""

_PRIVATE = """
<h2>Your photos</h2>
<p>They are read on the machine that runs this page and sent nowhere else. Their files are deleted when you close the
page, and within 65 minutes in any case. Nothing is written down about them, and nothing is learnt from them.</p>
"""


def build(host: Host, kept: Kept) -> None:
    """Fill the tab."""
    fresh(lambda: text(host), elem_classes="ff-prose")


def text(host: Host) -> str:
    """The page for the model that is in use."""
    return _WHAT + _errors(host.card) + _licence(host) + _PRIVATE


def _errors(card: str) -> str:
    header, rows = group_rows(card)
    if not rows:
        return (
            "<h2>How often it is wrong</h2><p>The model card of this model has no figures per group. Take it that the "
            "model is worse for groups that were rare in what it learnt from.</p>"
        )
    charts = "".join(_chart(title, rows, 2 + k) for k, title in enumerate(header[2:]))
    return (
        "<h2>For whom it is wrong, and how often</h2><p>Measured on faces that were labelled by people. A long bar is "
        "bad. The thin line says between which values the error really lies, in 19 of 20 cases: few faces, a long "
        f'line. The labels themselves are guesses, too.</p><div class="ff-charts">{charts}</div>'
    )


def _chart(title: str, rows: list[list[str]], column: int) -> str:
    """One kind of error as bars, a group each; a table, so that it can be read without eyes."""
    values = [_number(row[1 + column]) for row in rows]
    ends = [_ends(row[1 + column], value, row[2]) for row, value in zip(rows, values, strict=True)]
    top = 1.05 * max([1e-9, *(v for v in values if v is not None), *(high for _, high in filter(None, ends))])
    body, before = "", ""
    for (attribute, group, faces, *cells), value, between in zip(rows, values, ends, strict=True):
        if attribute != before:
            body += f'<tr class="ff-part"><th scope="rowgroup" colspan="3">By {escape(attribute)}</th></tr>'
            before = attribute
        text = escape(cells[column - 2].partition(" (")[0])
        bar = line = ""
        if value is not None:
            bar = f'<i style="width:{100 * value / top:.1f}%"></i>'
        if between is not None:
            low, high = (100 * end / top for end in between)
            line = f'<b style="left:{low:.1f}%;width:{max(high - low, 1):.1f}%"></b>'
            digits = 0 if text.endswith("in 100") else 1
            text += f" <small>({between[0]:.{digits}f} to {between[1]:.{digits}f})</small>"
        few = " class=ff-few" if (_number(faces) or 0) < _FEW else ""
        body += (
            f'<tr{few}><th scope="row">{escape(group)} <small>{escape(_thousands(faces))} faces</small></th>'
            f'<td><div class="ff-error">{bar}{line}</div></td><td>{text}</td></tr>'
        )
    return f'<table class="ff-errors"><caption>{escape(title)}</caption><tbody>{body}</tbody></table>'


def _thousands(cell: str) -> str:
    return f"{int(cell):,}" if cell.isdecimal() else cell


def _number(cell: str) -> float | None:
    try:
        return float(cell.split()[0].replace(",", ""))
    except (ValueError, IndexError):
        return None


def _ends(cell: str, value: float | None, faces: str) -> tuple[float, float] | None:
    """The 95 % interval of an error: the card's own, or that of a share of so many faces."""
    if found := re.search(r"\(([\d.]+) to ([\d.]+)\)", cell):
        return float(found[1]), float(found[2])
    return _between(value / 100, _number(faces)) if value is not None and cell.endswith("in 100") else None


def _between(share: float, faces: float | None) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share (JASA 1927), in 100; None where the number of faces is unknown."""
    if not faces:
        return None
    z = 1.96
    middle = (share + z * z / (2 * faces)) / (1 + z * z / faces)
    half = z / (1 + z * z / faces) * math.sqrt(share * (1 - share) / faces + z * z / (4 * faces * faces))
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def _licence(host: Host) -> str:
    licence = host.licence or "not stated; see its model card under Models"
    return (
        f"<h2>Licence</h2><p>The code of facefeat is under the Apache License 2.0. That does not extend to the weights "
        f"of the model <b>{escape(host.model.name)}</b>: {escape(licence)}.</p>"
    )

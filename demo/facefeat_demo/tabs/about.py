"""About: what the answers are, whom the model reads worse, whose data it is, and what not to use it for."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from facefeat_demo.inputs import fresh
from facefeat_demo.text import group_rows

if TYPE_CHECKING:
    from facefeat_demo.host import Host
    from facefeat_demo.photos import Kept

TITLE = "About"

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
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in header)
    body, before = "", ""
    for attribute, group, *cells in rows:
        if attribute != before:
            body += f'<tr class="ff-part"><th scope="rowgroup" colspan="{len(header)}">By {escape(attribute)}</th></tr>'
            before = attribute
        body += f'<tr><th scope="row">{escape(group)}</th>' + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"
    return (
        "<h2>How often it is wrong</h2><p>Measured on faces that were labelled by people; of 100 faces of each group. "
        "The labels themselves are guesses, too. Groups of fewer than 50 faces say little.</p>"
        '<div class="ff-scroll" tabindex="0" role="region" aria-label="Errors per group">'
        f'<table class="ff-table"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _licence(host: Host) -> str:
    licence = host.licence or "not stated; see its model card under Models"
    return (
        f"<h2>Licence</h2><p>The code of facefeat is under the Apache License 2.0. That does not extend to the weights "
        f"of the model <b>{escape(host.model.name)}</b>: {escape(licence)}.</p>"
    )

"""Model cards for the page: Markdown to safe HTML, and the error rates out of a card's table."""

from __future__ import annotations

import re


def to_html(markdown: str) -> str:
    """Markdown as HTML, with raw HTML in it shown as text, no pictures, and tables that scroll by themselves."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    html = str(reader.render(markdown))
    # The page has its own first heading, and the card is a part of it.
    html = re.sub(r"<(/?)h([1-4])>", lambda m: f"<{m[1]}h{int(m[2]) + 1}>", html)
    html = html.replace("<pre>", '<pre tabindex="0">')
    return re.sub(r"<table>.*?</table>", _boxed, html, flags=re.DOTALL)


def _boxed(table: re.Match[str]) -> str:
    """A table that scrolls by itself; one of sentences, not of numbers, breaks its lines."""
    words = " ff-words" if re.search(r"<td>[^<]{40,}", table[0]) else ""
    box = f'<div class="ff-scroll" tabindex="0" role="region" aria-label="Table"><table class="ff-table{words}">'
    return f"{box}{table[0].removeprefix('<table>')}</div>"


def group_rows(card: str) -> tuple[list[str], list[list[str]]]:
    """The table "Per group" of a model card, as errors in words.

    Gives the header after "attribute" (group, faces, then one for each kind of error) and rows of attribute, group,
    faces and errors; no rows where the card has no such table.
    """
    lines = [[c.strip() for c in line.strip().strip("|").split("|")] for line in card.splitlines() if "|" in line]
    start = next((i for i, cells in enumerate(lines) if cells[:3] == ["attribute", "group", "faces"]), None)
    if start is None:
        return [], []
    names = lines[start]
    wanted = [(i, *_error_of(name)) for i, name in enumerate(names) if _error_of(name)[0]]
    rows = []
    for cells in lines[start + 2 :]:
        if len(cells) != len(names):
            break
        rows.append([*cells[:3], *(_worded(cells[i], kind) for i, _, kind in wanted)])
    return ["Group", "Faces", *(title for _, title, _ in wanted)], rows


def _error_of(name: str) -> tuple[str, str]:
    if name.endswith(" mae"):
        return f"{name.removesuffix(' mae').capitalize()} off by", "years"
    if name.endswith(" one off accuracy") or not name.endswith(" accuracy") or name == "age accuracy":
        return "", ""
    return f"{name.removesuffix(' accuracy').capitalize()} wrong", "share"


def _worded(cell: str, kind: str) -> str:
    """An error in words, with its interval where the card has one: "4.4 years (4.3 to 4.6)"."""
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"{number}(?: \({number} to {number}\))?", cell)
    if found is None:
        return cell
    value = float(found[1])
    if kind == "share":
        return f"{100 * (1 - value):.0f} in 100"
    return f"{value:.1f} years" + (f" ({float(found[2]):.1f} to {float(found[3]):.1f})" if found[2] else "")

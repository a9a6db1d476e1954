"""Draws docs/assets/layers.svg, the rooms of the package and what imports what: `python docs/architecture_picture.py`.

Everything in it is read from the source, so that it cannot say what is not so: the rooms and their order from the table
of tests/test_layers.py, a room's sentence from its docstring, a dot from an import. A test draws it again and compares.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from html import escape
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
TARGET = REPO / "docs" / "assets" / "layers.svg"
sys.path.insert(0, str(REPO / "tests"))

from test_layers import LAYERS, SOURCE, files, imports, room_of  # noqa: E402

ROW, TOP, LEFT, CELL = 40, 150, 24, 26
BOX, TEXT = 118, 420
"""Widths in pixels: of a room's box, and of the sentence next to it."""
WRAP = 60
"""Characters of a line of that sentence."""
BANDS = (
    ("faces", "what people hold", ("cli", "__main__", "testing", "batch", "model")),
    ("work", "what is done with a model", ("training", "latent", "index", "evaluation", "export")),
    ("models", "from photos to answers", ("presets", "pipeline", "networks")),
    ("parts", "labels, and what plugins bring", ("data", "builtin", "plugins")),
    ("ground", "plain data and functions", ("image", "schema", "types", "utils", "errors", "_version")),
)
"""Name, what it is, rooms: a colour each. A room that no band names has the last one's."""
HIDDEN = ("__main__", "_version")
"""One line each: they are rooms to the test, and say nothing in a picture."""


def rooms() -> list[str]:
    """From the top of the house down."""
    return [room for layer in reversed(LAYERS) for room in layer if room not in HIDDEN]


def sentence(room: str) -> str:
    """The first paragraph of a room's docstring, in one line."""
    path = SOURCE / room / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.is_file() else SOURCE / f"{room}.py").read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("`", "")


@cache
def uses() -> frozenset[tuple[str, str]]:
    """(room, room that it imports), functions' own imports too; those for types alone do not run, and do not count."""
    found = set()
    for path in files():
        for target, _ in imports(path, ast.parse(path.read_text("utf-8"))):
            found.add((room_of(path), target))
    # A command writes `from facefeat import FaceFeatureModel`: the public API, which is the facade's.
    known = {room for layer in LAYERS for room in layer}
    return frozenset((a, b if b in known else "model") for a, b in found if b not in ("__version__", "__init__"))


def draw() -> str:
    """The picture, as SVG."""
    names, pairs = rooms(), uses()
    band_of = {room: i for i, (_, _, some) in enumerate(BANDS) for room in some}
    layer_of = {room: n for n, layer in enumerate(reversed(LAYERS)) for room in layer}
    grid = LEFT + BOX + TEXT + 24
    width, height = grid + CELL * len(names) + 24, TOP + ROW * len(names) + 70
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">',
        '<title id="t">The rooms of facefeat, and which imports which</title>',
        f'<desc id="d">From the top: {", ".join(names)}. Each imports only rooms below it.</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}" rx="10"/>',
        f'<text class="title" x="{LEFT}" y="44">Rooms of facefeat</text>',
        f'<text class="says" x="{LEFT}" y="68">A room may import those below it. A dot: the room of the row</text>',
        f'<text class="says" x="{LEFT}" y="86">imports that of the column. No dot lies left of the diagonal.</text>',
    ]
    for i, room in enumerate(names):
        y, x = TOP + ROW * i, grid + CELL * i
        band = f"b{band_of.get(room, len(BANDS) - 1)}"
        joined = i > 0 and layer_of[names[i - 1]] == layer_of[room]
        if not joined:
            out.append(f'<path class="line" d="M{LEFT} {y}H{width - 24}"/>')
        out.append(
            f'<g class="{band}"><rect class="box" x="{LEFT}" y="{y + 5}" width="{BOX}" height="{ROW - 10}" rx="6"/>'
        )
        out.append(f'<text class="name" x="{LEFT + BOX / 2:g}" y="{y + 25}">{escape(room)}</text>')
        out.append(f'<rect class="box" x="{x + 4}" y="{y + ROW / 2 - 9:g}" width="18" height="18" rx="4"/></g>')
        lines = _wrap(sentence(room))
        for k, line in enumerate(lines):
            at = y + 24 + (k * 15 if len(lines) == 1 else k * 15 - 7)
            out.append(f'<text class="says" x="{LEFT + BOX + 14}" y="{at}">{escape(line)}</text>')
        label = f"translate({x + 17} {TOP - 10}) rotate(-55)"
        out.append(f'<text class="column" transform="{label}">{escape(room)}</text>')
    for room, target in sorted(pairs):
        if room in names and target in names and room != target:
            x, y = grid + CELL * names.index(target) + CELL / 2, TOP + ROW * names.index(room) + ROW / 2
            band = f"b{band_of.get(target, len(BANDS) - 1)}"
            says = f"<title>{room} imports {target}</title>"
            out.append(f'<circle class="{band} dot" cx="{x:g}" cy="{y:g}" r="4.5">{says}</circle>')
    x, y = LEFT, TOP + ROW * len(names)
    out.append(f'<path class="line" d="M{LEFT} {y}H{width - 24}"/>')
    for i, (_, what, _some) in enumerate(BANDS):
        out.append(f'<g class="b{i}"><rect class="box" x="{x}" y="{y + 26}" width="14" height="14" rx="3"/></g>')
        out.append(f'<text class="says" x="{x + 21}" y="{y + 38}">{what}</text>')
        x += 48 + round(6.8 * len(what))
    return "\n".join([*out, "</svg>", ""])


def _wrap(text: str) -> list[str]:
    """One or two lines; what does not fit is left out at a comma or the end of a sentence."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > WRAP and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    if len(lines) > 2:
        short = " ".join(lines[:2])
        return _wrap(short[: max(short.rfind(mark) for mark in ",.;:")].rstrip())
    return lines


_HUES = ("#0b6e8f", "#7a4fb0", "#a8552a", "#2f7d4f", "#5b6673")
_DARK = ("#3fb0d3", "#b08be6", "#e0935f", "#5fbf88", "#95a1af")
_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1b2530}"
    ".paper{fill:#fff}.title{font-size:22px;font-weight:650}.says{font-size:13px;fill:#4a5663}"
    ".name{font-size:14.5px;font-weight:600;text-anchor:middle;fill:#fff}.column{font-size:12.5px;fill:#4a5663}"
    ".line{stroke:#e3e8ed;fill:none}"
    + "".join(f".b{i} .box,.b{i}.dot{{fill:{hue}}}" for i, hue in enumerate(_HUES))
    + "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#11171d}.says,.column{fill:#a3afbb}"
    ".name{fill:#0b1116}.line{stroke:#26303a}"
    + "".join(f".b{i} .box,.b{i}.dot{{fill:{hue}}}" for i, hue in enumerate(_DARK))
    + "}"
)


if __name__ == "__main__":
    TARGET.write_text(draw(), "utf-8")
    print(f"{TARGET.relative_to(REPO)}: {len(rooms())} rooms, {len(uses())} imports of one by another")

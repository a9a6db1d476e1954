"""The pictures of the demo in demo.md: `nox -s screenshots`, out of what the browser tests saw.

`python docs/screenshots.py FOLDER` makes docs/screenshots/demo-*.webp of what `FACEFEAT_SCREENSHOTS=FOLDER` kept, PNGs.
The photos in them are the demo's examples, in the public domain; the other faces are synthetic.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "screenshots"  # not with the photos, which the README has read
PAGES = {
    "classify-desktop": 1180,
    "classify-phone": 1400,
    "morph-desktop": 1300,
    "edit-desktop": 1500,
    "explore-means-desktop": 1300,
    "about-desktop": 1300,
}
"""Page -> how much of its height is shown, in pixels."""
WIDTH = {"desktop": 960, "phone": 375}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, height in PAGES.items():
        with Image.open(Path(sys.argv[1]) / f"{name}.png") as page:
            shown = page.convert("RGB").crop((0, 0, page.width, min(page.height, height)))
        width = min(WIDTH[name.rpartition("-")[2]], shown.width)
        small = shown.resize((width, round(shown.height * width / shown.width)), Image.Resampling.LANCZOS)
        small.save(FOLDER / f"demo-{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()

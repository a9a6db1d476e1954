"""Errors as visitors read them: what went wrong, without where on this machine. No Gradio here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

# A path in quotation marks may have spaces. Of both kinds, all but the last name goes.
_QUOTED = re.compile(r"""(["'`])(?:[A-Za-z]:)?[\\/](?:[^"'`\n\\/]+[\\/])*(?=[^\s"'`\\/])""")
_BARE = re.compile(r"""(?<![\w<:./\\])(?:[A-Za-z]:)?[\\/](?:[^\s"'`,;:\\/]+[\\/])+""")


def without_paths(text: str, folders: Iterable[Path | None] = ()) -> str:
    """The text with no folder of this machine in it: of each path the last name alone.

    folders: known ones, which may have any letter in their names.
    """
    for folder in sorted({str(f) for f in folders if f is not None}, key=len, reverse=True):
        if folder != os.path.dirname(folder):  # not the root
            text = text.replace(f"{folder}{os.sep}", "")
    return _BARE.sub("", _QUOTED.sub(r"\1", text))

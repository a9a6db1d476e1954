"""The documentation site: `nox -s docs` builds it, and a warning is an error."""

from __future__ import annotations

import re

from facefeat import __version__

project = "facefeat"
author = "The facefeat authors"
copyright = "The facefeat authors, Apache License 2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "hosted"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page that is included begins with a heading of its own level

default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"facefeat {__version__}"
html_static_path = ["assets"]
html_copy_source = False
copybutton_prompt_text = "$ "

# In a checkout these lie outside docs; here they are pages of the site.
_OUTSIDE = {"../README.md": "start.md", "../CHANGELOG.md": "changelog.md", "../CONTRIBUTING.md": "contributing.md"}


def _site_links(app: object, name: str, source: list[str]) -> None:
    for path, page in _OUTSIDE.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")
    source[0] = re.sub(r"\[([^]]+)\]\(\.\./[^)]*\)", r"\1", source[0])  # a folder of the checkout: its name alone


def _plain_docstring(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are prose with code in backticks, before napoleon reads their sections: nothing else is markup."""
    drawn = next((i for i, line in enumerate(lines) if line.startswith("    ")), None)
    if what == "module" and drawn is not None:  # an indented drawing or example
        lines[drawn:drawn] = ["::", ""]
    for i, line in enumerate(lines):
        if (what == "module" and line.startswith("    ")) or line.lstrip().startswith((">>>", "...")):
            continue
        parts = re.split(r"(`[^`]*`)", line)
        parts[::2] = [re.sub(r"([*|])|(?<=\w)_(?=\W|$)", lambda m: "\\" + m[0], p) for p in parts[::2]]
        lines[i] = "".join(parts)


def _plain_help(app: object, context: object, lines: list[str]) -> None:
    """The help of a command is plain text, too."""
    lines[:] = [re.sub(r"([*|])", r"\\\1", line) for line in lines]


def setup(app: object) -> None:
    """Sphinx calls this."""
    app.connect("sphinx-click-process-description", _plain_help)  # type: ignore[attr-defined]
    app.connect("source-read", _site_links)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _plain_docstring, priority=400)  # type: ignore[attr-defined]

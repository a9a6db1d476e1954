"""The command line. It uses the public API only, and each command is imported when it is asked for.

Exit codes: 0 done, 1 something failed (also where the reader of our output went away), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from facefeat._version import __version__
from facefeat.cli._group import Commands, Lazy
from facefeat.cli._show import say, warn
from facefeat.cli._usage import explained
from facefeat.errors import AmbiguousComponentError, FacefeatError, InputError, UnknownComponentError

INTERRUPTED = 130

# In the order of `facefeat --help`: what most people want comes first.
COMMANDS = {
    "predict": Lazy("facefeat.cli.predict", "predict", "Age, gender and race of every face in photos."),
    "batch": Lazy("facefeat.cli.batch", "batch", "Every face of a million pictures into one table, resumable."),
    "demo": Lazy("facefeat.cli.demo", "demo", "Classify, morph and edit faces in the browser."),
    "presets": Lazy("facefeat.cli.presets", "presets", "List the trained models that are installed."),
    "data": Lazy("facefeat.cli.data", "data", "Download, import and explore labelled faces."),
    "train": Lazy("facefeat.cli.train", "train", "Train a model by a recipe."),
    "train-decoder": Lazy("facefeat.cli.train_decoder", "train_decoder", "Train a decoder: faces from latents."),
    "fit-directions": Lazy(
        "facefeat.cli.fit_directions", "fit_directions", "Fit the directions that edit and compose need."
    ),
    "morph": Lazy("facefeat.cli.morph", "morph", "Turn one face into another, as a video or pictures."),
    "edit": Lazy("facefeat.cli.edit", "edit", "Change the age, gender or race of a face."),
    "compose": Lazy("facefeat.cli.compose", "compose", "Make a synthetic face, by attributes and coordinates."),
    "tune": Lazy("facefeat.cli.tune", "tune", "Search for a better recipe."),
    "recipes": Lazy("facefeat.cli.recipes", "recipes", "List what can be trained."),
    "compare": Lazy("facefeat.cli.recipes", "compare", "Put finished runs side by side."),
    "calibrate": Lazy("facefeat.cli.calibrate", "calibrate", "Fit a model's probabilities and its measure of quality."),
    "evaluate": Lazy("facefeat.cli.evaluate", "evaluate", "Measure a model on labelled faces, per group."),
    "audit": Lazy("facefeat.cli.audit", "audit", "Measure any model by a table of its predictions."),
    "census": Lazy("facefeat.cli.census", "census", "Count who is in a photo collection, with intervals."),
    "analyze": Lazy("facefeat.cli.analyze", "analyze", "Study the latents of labelled faces."),
    "explain": Lazy("facefeat.cli.explain", "explain", "Show where the model looked in a face."),
    "index": Lazy("facefeat.cli.index", "index", "Put the latents of many faces into an index."),
    "similar": Lazy("facefeat.cli.similar", "similar", "Find the most similar faces of an index."),
    "export": Lazy("facefeat.cli.export", "export", "Write a model as ONNX, LiteRT or SavedModel."),
    "quantize": Lazy("facefeat.cli.quantize", "quantize", "Make a faster preset, with 8-bit integers."),
    "plugins": Lazy("facefeat.cli.plugins", "plugins", "List components, and plugins that did not load."),
}

_wants_traceback = False


@click.group(
    cls=Commands,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: facefeat predict photo.jpg",
)
@click.version_option(__version__, prog_name="facefeat", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error, too.")
def cli(verbose: bool) -> None:
    """Age, gender and race of every face in a photo, offline."""
    global _wants_traceback
    _wants_traceback = verbose


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: what the script `facefeat` calls."""
    # TensorFlow's start-up log would bury our messages. It is this program's own environment, so we may.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A file name that the terminal cannot show is no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. An error that facefeat knows is a message, not a traceback."""
    global _wants_traceback
    _wants_traceback = False
    try:
        code = cli.main(args=None if args is None else list(args), prog_name="facefeat", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        warn("interrupted")
        return INTERRUPTED
    except click.ClickException as e:
        _traceback()
        explained(e).show()
        return e.exit_code
    except FacefeatError as e:
        return _failed(str(e), 2 if isinstance(e, InputError | UnknownComponentError | AmbiguousComponentError) else 1)
    except BrokenPipeError:
        # `facefeat ... | head` has read enough; click says so by exit code 1 itself where it notices first. The
        # interpreter flushes at exit: give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as e:
        where = f": {os.fsdecode(e.filename)!r}" if isinstance(e.filename, str | bytes) else ""
        return _failed(f"{e.strerror or e}{where}", 1)
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int) -> int:
    _traceback()
    warn(message)
    return code


def _traceback() -> None:
    if _wants_traceback:
        say(traceback.format_exc(), err=True, nl=False)

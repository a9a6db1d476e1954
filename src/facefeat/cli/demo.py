"""`facefeat demo`: the page in the browser."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from facefeat.cli._inputs import check_model
from facefeat.cli._model import runtime_options
from facefeat.cli._show import say


@click.command()
@click.option("--share", is_flag=True, help="Also give a public link for up to a week, by Gradio's tunnel.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the page. [default: the first free one from 7860]")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for everybody on the network."
)
@click.option("--auth", metavar="USER:PASSWORD", envvar="FACEFEAT_DEMO_AUTH", show_envvar=True, help="Ask for a name "
              "and a password.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--allow-presets", metavar="DIR", type=click.Path(path_type=Path), help="Let visitors change to the "
              "preset folders in DIR.")  # fmt: skip
@click.option("--data", metavar="DATA", type=click.Path(path_type=Path), help="A data set to explore: imported "
              "folder, tar, zip or CSV. Visitors see its faces.")  # fmt: skip
@click.option("--max-upload", metavar="MB", type=click.IntRange(1, 1000), default=30, show_default=True,
              help="Largest file of a photo.")  # fmt: skip
@runtime_options
def demo(
    share: bool,
    port: int | None,
    host: str,
    auth: str | None,
    preset: str | None,
    allow_presets: Path | None,
    data: Path | None,
    max_upload: int,
) -> None:
    """Open the demo: classify photos, morph and edit faces, explore the latents, in the browser."""
    from facefeat.errors import InputError, MissingExtraError

    missing = [m for m in ("facefeat_demo", "gradio", "markdown_it") if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtraError(
            f'the demo needs {missing[0]!r}, not installed here. Next: pip install "facefeat[demo]"'
        )
    from facefeat_demo.server import Settings, auth_of, free_port, serve

    guard = auth_of(auth)
    if allow_presets is not None and not allow_presets.is_dir():
        raise InputError(f"--allow-presets wants a folder of preset folders. Received: {str(allow_presets)!r}.")
    if data is not None and not data.exists():
        raise InputError(f"--data wants an imported folder, tar, zip or CSV. There is no {str(data)!r}.")
    check_model(preset)
    port = free_port(host, port)  # reported before the model is read
    say(f"Reading the model{' and the data' if data else ''} ...", err=True)
    settings = Settings(
        preset=preset,
        allow_presets=allow_presets,
        host=host,
        port=port,
        share=share,
        auth=guard,
        max_upload=max_upload,
        data=data,
        max_total=max(1000, 4 * max_upload),
    )
    serve(settings, say=say)

"""`facefeat presets`: the trained models that are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from facefeat.cli._show import megabytes, rows, say, warn
from facefeat.errors import FacefeatError, PresetError
from facefeat.plugins.registry import Registered, get_registry


def _about(item: Registered) -> dict[str, Any]:
    """What a preset says of itself. Raises PresetError for a folder that is incomplete or altered."""
    from facefeat.presets.store import read_config

    folder = Path(get_registry().build("preset", item.qualified))
    config = read_config(folder)
    schema = config.get("schema")
    return {
        "name": item.name,
        "image_size": config.get("image_size"),
        "parameters": config.get("parameters"),
        "bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        "licence": config.get("licence") or "not stated: see its model card",
        "schema": schema.get("name") if isinstance(schema, dict) else None,
        "summary": config.get("summary") or item.component.summary,
        "distribution": item.distribution,
        "version": item.version,
        "folder": str(folder),
    }


def _line(about: dict[str, Any]) -> tuple[str, ...]:
    size, parameters = about["image_size"], about["parameters"]
    return (
        about["name"],
        f"{size} px" if isinstance(size, int) else "?",
        f"{parameters:,}" if isinstance(parameters, int) else "?",
        megabytes(about["bytes"]),
        str(about["licence"]),
        str(about["summary"]),
    )


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.pass_context
def presets(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """List the trained models that are installed; with NAME (or a folder), print that one's model card."""
    if name is not None:
        if as_json:
            raise click.UsageError("NAME prints a model card, which is no JSON: give NAME or --json.")
        say(_card(name).rstrip())
        return
    found, failed = [], False
    for item in get_registry().all("preset"):
        try:
            found.append(_about(item))
        except FacefeatError as e:
            failed = True
            warn(f"preset {item.qualified}: {e}")
    if as_json:
        say(json.dumps(found, indent=2))
    elif found:
        rows(("Name", "Crops", "Classifier parameters", "On disk", "Licence", "Summary"), [_line(f) for f in found])
    else:
        say("No preset is installed.")
    if failed:
        ctx.exit(1)


def _card(name: str) -> str:
    from facefeat.presets.metadata import without_header
    from facefeat.presets.store import find_preset, read_card

    folder = find_preset(name)
    try:
        return without_header(read_card(folder))
    except (OSError, ValueError) as e:
        why = (e.strerror or str(e)) if isinstance(e, OSError) else "it is not UTF-8 text"
        raise PresetError(
            f"preset {name!r} has no readable model card: {str(folder / 'model_card.md')!r}: {why}"
        ) from None

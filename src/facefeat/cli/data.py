"""`facefeat data`: from a download or a CSV file to one table, and a look at what is in it."""

from __future__ import annotations

import click

from facefeat.cli.data_doctor import doctor
from facefeat.cli.data_download import download
from facefeat.cli.data_import import import_
from facefeat.cli.data_merge import merge
from facefeat.cli.data_pictures import explore, preview


@click.group()
def data() -> None:
    """Download labelled faces, import them into one table, and explore them."""


for command in (download, import_, merge, explore, preview, doctor):
    data.add_command(command)

"""`files`: list and download the files that a job has stored."""

from pathlib import Path

import click

from gopher.base.sizes import format_size

from .common import client, common
from .output import Output


@click.command()
@click.argument("job_id")
@click.option(
    "--save",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Download the files into this folder, which is created if missing.",
)
@common
def files(out: Output, job_id: str, folder: Path | None) -> None:
    """List the files that a job has stored, or download them.

    \b
    gopherctl files 01a20d1c-ddd6-7e46-9daa-2af634a7f173 --save pictures
    """
    with client() as gopher:
        found = gopher.files.all(job_id)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for each in found:
                path = gopher.files.save(job_id, each.name, folder)
                out.note(f"saved {path}")
    if out.data({"files": found}):
        return
    rows = [(each.name, format_size(each.size), each.content_type) for each in found]
    out.table(("name", "size", "type"), rows, empty="no files")

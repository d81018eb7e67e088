"""Command line: give a data set away, in a form that others read without this toolkit."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from dataset_tools.manifest import Manifest, read_manifest
from dataset_tools.publishing.formats import write_croissant, write_huggingface, write_recipe, write_webdataset

FORMATS: dict[str, Callable[[Manifest, Path], None]] = {
    "huggingface": write_huggingface,
    "webdataset": write_webdataset,
    "recipe": write_recipe,
    "croissant": write_croissant,
}


def export_data_set(manifest: Manifest, *, format_name: str, out: Path) -> None:
    """Write ``manifest`` in one of ``FORMATS`` to the new folder ``out``, which appears only when it is whole.

    Annotators are numbered instead of named.

    Raises:
        UsageError: The format is unknown, or ``out`` exists and is not empty.
        FrameError: An image file is missing.
    """
    if format_name not in FORMATS:
        raise UsageError(f"--format {format_name!r} must be one of {', '.join(FORMATS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} must be a new or empty folder")
    out = Path(os.path.abspath(out))  # "." has no name
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    try:
        unfinished.mkdir(parents=True)
        FORMATS[format_name](without_names(manifest), unfinished)
        if out.exists():
            out.rmdir()
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def without_names(manifest: Manifest) -> Manifest:
    """Return ``manifest`` with annotators called ``annotator-1``, ``annotator-2``, ... by their first vote."""
    votes: list[list[dict[str, Any]] | None] = manifest.table.column("votes").to_pylist()
    cast = [vote for listed in votes for vote in listed or [] if vote is not None]
    cast.sort(key=lambda vote: (vote["created_at"] is None, vote["created_at"], str(vote["annotator"])))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(vote["annotator"] for vote in cast), start=1)}

    def rename(vote: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if vote is None else {**vote, "annotator": f"annotator-{numbers[vote['annotator']]}"}

    renamed = [None if listed is None else [rename(vote) for vote in listed] for listed in votes]
    return manifest.with_columns({"votes": renamed})


def export(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="huggingface (Parquet with pictures), webdataset (tar), recipe (no pixels) or croissant (JSON-LD).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Export a data set for others. Annotators are numbered, not named.

    A recipe holds no pixels: the form for clips that may not be re-hosted, such as Vimeo90K and Adobe240.

    Example: python -m dataset_tools.export data/data_manifest.parquet --format recipe --out recipe
    """
    table = read_manifest(manifest)
    export_data_set(table, format_name=format_name, out=out)
    cli.say(f"{out}: {len(table)} rows as {format_name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.export`` and return its exit code."""
    return cli.run(export, argv, prog="python -m dataset_tools.export")


if __name__ == "__main__":
    sys.exit(main())

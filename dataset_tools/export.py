"""Command line: give a data set away, in a form that others read without this toolkit."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.columns.file import open_manifest
from dataset_tools.common import cli
from dataset_tools.common.files import write_json
from dataset_tools.errors import UsageError
from dataset_tools.publishing.croissant import write_croissant
from dataset_tools.publishing.huggingface import write_huggingface
from dataset_tools.publishing.recipe import write_recipe
from dataset_tools.publishing.source import Outgoing
from dataset_tools.publishing.webdataset import write_webdataset

FORMATS: dict[str, Callable[[Outgoing, Path], list[str]]] = {
    "huggingface": write_huggingface,
    "webdataset": write_webdataset,
    "recipe": write_recipe,
    "croissant": write_croissant,
}
_STAMP = ".export.json"  # in an unfinished folder: what it is an export of


def export_data_set(manifest: Outgoing, *, format_name: str, out: Path) -> list[str]:
    """Write ``manifest`` in one of ``FORMATS`` to the new folder ``out``, which appears only when it is whole.

    Annotators are numbered instead of named. What a broken-off run has written beside ``out`` is gone on with, as long
    as manifest and options are the same.

    Returns:
        Notes on what was left out.

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
    stamp = _stamp(manifest, format_name)
    known = unfinished / _STAMP
    if not known.exists() or json.loads(known.read_text(encoding="utf-8")) != stamp:
        shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, exist_ok=True)
    write_json(known, stamp)
    notes = FORMATS[format_name](manifest, unfinished)
    known.unlink()
    if out.exists():
        out.rmdir()
    os.replace(unfinished, out)
    return notes


def _stamp(manifest: Outgoing, format_name: str) -> dict[str, object]:
    files = [[part.name, part.stat().st_size, part.stat().st_mtime_ns] for part in manifest.manifest.parts]
    options = [manifest.license, manifest.pretty_name, manifest.with_hashes]
    return {"format": format_name, "manifest": files, "options": options}


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
    license_name: Annotated[
        str, typer.Option("--license", help="SPDX name for the card, such as cc-by-4.0; other: as the sources state.")
    ] = "other",
    pretty_name: Annotated[str, typer.Option(help="Title for the card.")] = "Frame triplets",
    no_hashes: Annotated[bool, typer.Option("--no-hashes", help="Leave out hashes and fingerprints.")] = False,
) -> None:
    """Export a data set for others. Annotators are numbered, not named.

    A recipe holds no pixels: the form for clips that may not be re-hosted, such as Vimeo90K and Adobe240.

    Example: python -m dataset_tools.export data/data_manifest.parquet --format recipe --out recipe
    """
    table = Outgoing(open_manifest(manifest), license=license_name, pretty_name=pretty_name, with_hashes=not no_hashes)
    for note in export_data_set(table, format_name=format_name, out=out):
        cli.say(note)
    cli.say(f"{out}: {len(table)} rows as {format_name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.export`` and return its exit code."""
    return cli.run(export, argv, prog="python -m dataset_tools.export")


if __name__ == "__main__":
    sys.exit(main())

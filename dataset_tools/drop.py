"""Command line: take rows out of a manifest. Rows with votes stay unless they are asked for by name."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from dataset_tools.columns.file import open_manifest
from dataset_tools.columns.query import literal, select_ids
from dataset_tools.columns.rewrite import rewrite_manifest
from dataset_tools.common import cli
from dataset_tools.errors import UsageError


def drop(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet; it is rewritten.")],
    where: Annotated[str | None, typer.Option(help="SQL expression over the columns: rows to drop.")] = None,
    clip: Annotated[list[str] | None, typer.Option(help="source/clip: drop all its rows. Repeatable.")] = None,
    with_votes: Annotated[
        bool, typer.Option("--with-votes", help="Also drop rows that people voted on; their votes are lost here.")
    ] = False,
) -> None:
    """Take rows out of a manifest; their image files stay. Rows with votes are kept unless --with-votes is given.

    A later extraction into the same folder brings dropped rows back: give it other clips, or use another folder.

    \b
    Examples:
      python -m dataset_tools.drop data --clip videos/park/dog.mp4
      python -m dataset_tools.drop data --where "field_order <> 'progressive'"
    """
    parts = [f"({where}\n)"] if where else []
    parts += [f"source || '/' || clip = {literal(name)}" for name in clip or []]
    if not parts:
        raise UsageError("give --where or --clip: which rows to drop")
    source = open_manifest(manifest)
    ids = select_ids(source, " or ".join(parts))
    voted = select_ids(source, f"({' or '.join(parts)}) and coalesce(len(votes), 0) + coalesce(num_pairs, 0) > 0")
    dropped = ids if with_votes else ids.filter(pc.invert(pc.is_in(ids, value_set=voted)))

    def change(piece: pa.Table) -> pa.Table:
        return piece.filter(pc.invert(pc.is_in(piece.column("triplet_id"), value_set=dropped)))

    if len(dropped):
        rewrite_manifest(source.path, change)
    kept = "" if with_votes or not len(voted) else f", {len(voted)} kept because of their votes"
    cli.say(f"{manifest}: {len(dropped)} rows dropped, {len(source) - len(dropped)} left{kept}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.drop`` and return its exit code."""
    return cli.run(drop, argv, prog="python -m dataset_tools.drop")


if __name__ == "__main__":
    sys.exit(main())

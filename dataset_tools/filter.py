"""Command line: the rows of a data set for which an SQL expression holds, as a data set of their own."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.columns.query import select_ids
from dataset_tools.columns.rewrite import rewrite_manifest
from dataset_tools.common import cli
from dataset_tools.common.linking import link_files
from dataset_tools.errors import UsageError
from dataset_tools.manifest import DEFAULT_NAME, FRAMES_ROOT, IMAGE_COLUMNS


def keep_rows(path: Path, ids: pa.Array, *, out: Path) -> ManifestFile:
    """Write a manifest of the rows with these ids to ``out``; its image files appear beside it.

    Args:
        ids: Sorted.
    """
    if not len(ids):
        raise UsageError(f"no row of {path} fits: nothing to write")
    chosen = rewrite_manifest(
        path, lambda piece: piece.filter(pc.is_in(piece.column("triplet_id"), value_set=_part(ids, piece))), out=out
    )
    source = open_manifest(path)
    if FRAMES_ROOT not in source.metadata and chosen.root.resolve() != source.root.resolve():
        link_files(image_files(chosen), source.root, chosen.root)
    return chosen


def image_files(manifest: ManifestFile) -> Iterator[str]:
    """Yield the image files that a manifest names; some more than once."""
    for piece in manifest.batches(IMAGE_COLUMNS):
        for column in IMAGE_COLUMNS:
            yield from piece.column(column).drop_null().unique().to_pylist()


def _part(ids: pa.Array, piece: pa.Table) -> pa.Array:
    """Return the ids that a piece, sorted by id, can hold: a small set is searched faster."""
    if not len(piece):
        return ids.slice(0, 0)
    named = piece.column("triplet_id")
    first, last = named[0].as_py(), named[len(named) - 1].as_py()
    return ids.filter(pc.and_(pc.greater_equal(ids, first), pc.less_equal(ids, last)))


def filter_rows(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet; it stays as it is.")],
    where: Annotated[str, typer.Option(help="SQL expression over the columns (DuckDB's dialect).")],
    out: Annotated[Path, typer.Option(help="A new folder, or a new .parquet file beside the manifest.")],
) -> None:
    """Write the rows for which an SQL expression holds as a data set of their own, votes and levels included.

    In a new folder the image files appear too, as further names of the same files where the disk allows it.

    \b
    Examples:
      python -m dataset_tools.filter data --where "resolution = '256p' and pred_lpips > 0.05" --out hard
      python -m dataset_tools.filter data --where "len(votes) >= 3" --out data/voted.parquet
    """
    target = out if out.suffix == ".parquet" else out / DEFAULT_NAME
    if target.exists():
        raise UsageError(f"--out {out} must be new: {target} is there already")
    source = open_manifest(manifest)
    chosen = keep_rows(source.path, select_ids(source, where), out=target)
    cli.say(f"{target}: {len(chosen)} of {len(source)} rows")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.filter`` and return its exit code."""
    return cli.run(filter_rows, argv, prog="python -m dataset_tools.filter")


if __name__ == "__main__":
    sys.exit(main())

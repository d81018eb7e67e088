"""Command line: put a data set's image files into an object store or another folder; the manifest says where."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.checks.rows import count_files
from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.columns.rewrite import rewrite_manifest
from dataset_tools.common import cli
from dataset_tools.common.files import FolderContents, inside, write_bytes
from dataset_tools.common.progress import track
from dataset_tools.common.remote import File, Folder, RemoteFolder, mark_frames, parse_place, reachable
from dataset_tools.errors import FrameError, VfiError
from dataset_tools.extraction.journal import FILE_NAME, open_journal
from dataset_tools.frames import read_picture
from dataset_tools.manifest import FRAMES_ROOT, IMAGE_COLUMNS
from dataset_tools.prediction.run import alone_in, take_over_results

_THREADS = 16  # an object store answers late, and answers many at once
_ROWS_AT_ONCE = 1 << 12


def copy_frames(manifest: ManifestFile, to: Folder) -> list[str]:
    """Copy all image files of a manifest under ``to``, at the same relative paths; those that are there stay.

    A file counts as there when it has the size of the original. Nothing is removed.

    Returns:
        One line for each that could not be copied.
    """
    frames, there = manifest.frames, FolderContents(to)
    faults: dict[str, None] = {}

    def copy(name: str) -> str | None:
        try:
            source, target = inside(frames, name), inside(to, name)
            if not (there.has(name) and _size(source) == _size(target)):
                _write(target, read_picture(source))
        except VfiError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(_THREADS) as pool, track("rows copied", len(manifest)) as progress:
        for piece in manifest.batches(IMAGE_COLUMNS, rows=_ROWS_AT_ONCE):
            columns = (piece.column(name).drop_null().to_pylist() for name in IMAGE_COLUMNS)
            names = dict.fromkeys(itertools.chain.from_iterable(columns))  # triplets share frames
            faults.update((fault, None) for fault in pool.map(copy, names) if fault is not None)
            progress.advance(len(piece), note=f"{len(faults)} files failed" if faults else "")
    return list(faults)


@contextmanager
def _alone(manifest: ManifestFile) -> Iterator[None]:
    """Let no other run write image files meanwhile."""
    with ExitStack() as locks:
        locks.enter_context(alone_in(manifest.root))
        if (manifest.root / FILE_NAME).exists():
            locks.enter_context(open_journal(manifest.root))
        yield


def _size(file: File) -> int:
    try:
        return file.stat().st_size if isinstance(file, Path) else file.size()
    except OSError as error:
        raise FrameError(f"cannot read {file}: {error.strerror or error}") from error


def _write(file: File, data: bytes) -> None:
    try:
        if isinstance(file, Path):
            write_bytes(file, data)
        else:
            file.write_bytes(data)
    except OSError as error:
        raise FrameError(f"cannot write {file}: {error.strerror or error}") from error


def relocate(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet, or its folder.")],
    to: Annotated[str, typer.Option(help="s3://BUCKET/PATH, gs://BUCKET/PATH, or a folder.")],
) -> int:
    """Copy a data set's image files to an object store or a folder, and let the manifest say that they are there.

    The manifest itself stays where it is, with its votes and levels, and every command then reads and writes image
    files at the new place. The old files stay, too: remove them yourself. Where a file cannot be copied the manifest
    is not changed, and the same command goes on. Keys come from the environment, such as AWS_ACCESS_KEY_ID.

    \b
    Examples:
      python -m dataset_tools.relocate data --to s3://bucket/set
      python -m dataset_tools.relocate data --to data
    """
    table = open_manifest(manifest)
    place = reachable(parse_place(to))
    place = place if isinstance(place, RemoteFolder) else place.absolute()
    with _alone(table):
        take_over_results(table.path)  # of a killed run of predict, whose files are where the frames still are
        table = open_manifest(table.path)
        faults = copy_frames(table, place)
        for fault in faults:
            cli.say(fault)
        if faults:
            cli.say(f"{table.path}: stays as it is, {len(faults)} files could not be copied to {place}")
            return cli.FAILED
        is_home = isinstance(place, Path) and place.resolve() == table.root.resolve()
        if not is_home:
            mark_frames(place)
        rewrite_manifest(table.path, lambda piece: piece, metadata={FRAMES_ROOT: None if is_home else str(place)})
    cli.say(f"{table.path}: {count_files(table)} files are at {place}")
    return cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.relocate`` and return its exit code."""
    return cli.run(relocate, argv, prog="python -m dataset_tools.relocate")


if __name__ == "__main__":
    sys.exit(main())

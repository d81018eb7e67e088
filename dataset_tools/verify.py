"""Command line: is this data set whole, readable and free of leaks between its splits?"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from dataset_tools.checks.hashing import hash_strings
from dataset_tools.checks.leaks import find_recordings, leaks
from dataset_tools.checks.pixels import MAX_FRAME_DIFFERENCE, MAX_PREDICTION_DIFFERENCE, block_difference
from dataset_tools.checks.rows import Row, check_duplicates, check_rows, count_files
from dataset_tools.columns.file import open_manifest
from dataset_tools.common import cli
from dataset_tools.common.cores import num_cores
from dataset_tools.common.files import inside
from dataset_tools.common.parquet import Columns
from dataset_tools.common.progress import track
from dataset_tools.errors import VfiError
from dataset_tools.frames import pixels_sha256, read_image
from dataset_tools.manifest import IMAGE_COLUMNS

_FILES_AT_ONCE = 4096


@dataclass
class Verdict:
    """What ``verify_data_set`` found.

    Attributes:
        num_rows, num_files: Rows and different image files looked at.
        faults: One line each; empty for a sound data set.
        accepted: Image files that differ from their hash, but by no more than another machine's rounding.
    """

    num_rows: int
    num_files: int = 0
    faults: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def verify_data_set(manifest: Columns, *, files: bool = True) -> Verdict:
    """Return what is wrong with a data set; paths that leave its folder were refused when they were read.

    Args:
        files: Also read every image file and compare size and hash; where the hash differs, the fingerprint.
    """
    verdict = Verdict(sum(len(piece) for piece in manifest.batches(["triplet_id"])))
    verdict.faults += check_rows(manifest)
    verdict.faults += leaks(find_recordings(manifest))
    verdict.faults += check_duplicates(manifest)
    if files:
        _check_files(manifest, verdict)
    return verdict


def _check_files(manifest: Columns, verdict: Verdict) -> None:
    verdict.num_files = count_files(manifest)
    uses = _first_uses(manifest)
    with ThreadPoolExecutor(num_cores()) as pool, track("verify", verdict.num_files) as progress:
        while block := list(itertools.islice(uses, _FILES_AT_ONCE)):
            checked = pool.map(lambda use: _check_file(manifest.root, *use), block)
            for (row, column), (is_accepted, said) in zip(block, checked, strict=True):
                progress.advance()
                if said is not None:
                    lines = verdict.accepted if is_accepted else verdict.faults
                    lines.append(f"{row['triplet_id']}: {column} {row[column]}: {said}")


def _first_uses(manifest: Columns) -> Iterator[tuple[Row, str]]:
    """Yield every image file once, as the row that names it first and the column."""
    seen: set[int] = set()
    columns = [f"{name}{part}" for name in IMAGE_COLUMNS for part in ("", "_sha256", "_fingerprint")]
    for piece in manifest.batches(["triplet_id", "width", "height", *columns]):
        for name in IMAGE_COLUMNS:
            there = piece.filter(pc.is_valid(piece.column(name)))
            keys = hash_strings(there.column(name).combine_chunks()).tolist()
            is_new = [key not in seen and not seen.add(key) for key in keys]  # type: ignore[func-returns-value]
            for row in there.filter(pa.array(is_new, pa.bool_())).to_pylist():
                yield row, name


def _check_file(root: Path, row: Row, column: str) -> tuple[bool, str | None]:
    """Return whether an image file is accepted, and what is to be said about it."""
    try:
        image = read_image(inside(root, row[column]))
        if image.shape[:2] != (row["height"], row["width"]):
            return False, f"is {image.shape[1]}x{image.shape[0]}, must be {row['width']}x{row['height']}"
        if row[f"{column}_sha256"] is None:
            return False, "has no hash in the manifest"
        if pixels_sha256(image) == row[f"{column}_sha256"]:
            return True, None
        difference = block_difference(row[f"{column}_fingerprint"], image)
    except VfiError as error:
        return False, str(error)
    if difference is None:
        return False, "pixels differ from the manifest's hash, and it has no fingerprint to tell by how much"
    return difference.judge(MAX_PREDICTION_DIFFERENCE if column == "pred" else MAX_FRAME_DIFFERENCE)


def verify(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet.")],
    rows_only: Annotated[bool, typer.Option("--rows-only", help="Do not read the image files.")] = False,
) -> int:
    """Check a data set: schema, rows, split leakage, duplicates, and every image file with its hash.

    Where a hash differs, one line says by how much: up to one level of 255 is accepted, 0.1 for predictions, in the
    means of 16 blocks that the manifest holds. A frame made on another machine may differ so much.

    Ends with 1 and one line per fault when anything is wrong.

    Example: python -m dataset_tools.verify data/data_manifest.parquet
    """
    verdict = verify_data_set(open_manifest(manifest), files=not rows_only)
    for line in verdict.faults:
        cli.say(line)
    for line in verdict.accepted:
        cli.say(f"accepted: {line}")
    counts = f"{verdict.num_rows} rows, {verdict.num_files} files, {len(verdict.accepted)} accepted with differences"
    cli.say(f"{manifest}: {counts}, {len(verdict.faults)} faults")
    return cli.FAILED if verdict.faults else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.verify`` and return its exit code."""
    return cli.run(verify, argv, prog="python -m dataset_tools.verify")


if __name__ == "__main__":
    sys.exit(main())

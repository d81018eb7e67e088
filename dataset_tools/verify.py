"""Command line: is this data set whole, readable and free of leaks between its splits?"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset_tools.checks.pixels import MAX_FRAME_DIFFERENCE, MAX_PREDICTION_DIFFERENCE, block_difference
from dataset_tools.checks.rows import check_duplicates, check_rows, check_splits
from dataset_tools.common import cli
from dataset_tools.common.device import num_cores
from dataset_tools.common.progress import track
from dataset_tools.errors import VfiError
from dataset_tools.frames import pixels_sha256, read_image
from dataset_tools.manifest import IMAGE_COLUMNS, Manifest, read_manifest


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


def verify_data_set(manifest: Manifest, *, files: bool = True) -> Verdict:
    """Return what is wrong with a data set; paths that leave its folder were refused when it was read.

    Args:
        files: Also read every image file and compare size and hash; where the hash differs, the fingerprint.
    """
    rows = manifest.rows()
    verdict = Verdict(len(rows))
    for check in (check_rows, check_splits, check_duplicates):
        verdict.faults += check(rows)
    if files:
        _check_files(manifest, rows, verdict)
    return verdict


def _check_files(manifest: Manifest, rows: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    first_use = {row[column]: (row, column) for row in rows for column in IMAGE_COLUMNS if row[column] is not None}
    verdict.num_files = len(first_use)
    with ThreadPoolExecutor(num_cores()) as pool, track("verify", len(first_use)) as progress:
        checked = pool.map(lambda use: _check_file(manifest, *use), first_use.values())
        for (row, column), (is_accepted, said) in zip(first_use.values(), checked, strict=True):
            progress.advance()
            if said is not None:
                lines = verdict.accepted if is_accepted else verdict.faults
                lines.append(f"{row['triplet_id']}: {column} {row[column]}: {said}")


def _check_file(manifest: Manifest, row: Mapping[str, Any], column: str) -> tuple[bool, str | None]:
    """Return whether an image file is accepted, and what is to be said about it."""
    try:
        image = read_image(manifest.file(row, column))
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
    verdict = verify_data_set(read_manifest(manifest), files=not rows_only)
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

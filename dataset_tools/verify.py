"""Command line: is this data set whole, readable and free of leaks between its splits?"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataset_tools import cli
from dataset_tools.checks import check_duplicates, check_rows, check_splits
from dataset_tools.errors import VfiError
from dataset_tools.extract_options import num_cores
from dataset_tools.frames import Rgb, pixels_sha256, read_image, to_rgb, to_tensor
from dataset_tools.manifest import IMAGE_COLUMNS, Manifest, read_manifest
from dataset_tools.progress import track
from dataset_tools.rebuild_check import MAX_MEAN_PREDICTION_DIFFERENCE


@dataclass
class Verdict:
    """What ``verify_data_set`` found.

    Attributes:
        num_rows, num_files: Rows and different image files looked at.
        faults: One line each; empty for a sound data set.
        accepted: Predictions that differ from their hash, but by no more than another machine's rounding.
    """

    num_rows: int
    num_files: int = 0
    faults: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def verify_data_set(manifest: Manifest, *, files: bool = True) -> Verdict:
    """Return what is wrong with a data set; paths that leave its folder were refused when it was read.

    Args:
        files: Also read every image file and compare size and hash.
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
    suspects = []
    with ThreadPoolExecutor(num_cores()) as pool, track("verify", len(first_use)) as progress:
        for (row, column), fault in zip(
            first_use.values(), pool.map(lambda use: _file_fault(manifest, *use), first_use.values()), strict=True
        ):
            progress.advance()
            if fault is not None and column == "pred" and fault.startswith("pixels"):
                suspects.append((row, fault))
            elif fault is not None:
                verdict.faults.append(f"{row['triplet_id']}: {column} {row[column]}: {fault}")
    _judge_predictions(manifest, suspects, verdict)


def _file_fault(manifest: Manifest, row: Mapping[str, Any], column: str) -> str | None:
    try:
        image = read_image(manifest.file(row, column))
    except VfiError as error:
        return str(error)
    if image.shape[:2] != (row["height"], row["width"]):
        return f"is {image.shape[1]}x{image.shape[0]}, must be {row['width']}x{row['height']}"
    if row[f"{column}_sha256"] is None:
        return "has no hash in the manifest"
    if pixels_sha256(image) != row[f"{column}_sha256"]:
        advice = "" if column == "pred" else "; dataset_tools.materialize says by how much, given the clips"
        return f"pixels differ from the manifest's hash{advice}"
    return None


def _judge_predictions(manifest: Manifest, suspects: list[tuple[Mapping[str, Any], str]], verdict: Verdict) -> None:
    """Predict again what differs from its hash: the difference to that is small if only rounding is in play."""
    predict = _Again()
    for row, fault in suspects:
        line = f"{row['triplet_id']}: pred {row['pred']}: {fault}"
        try:
            again = predict(manifest, row)
        except VfiError as error:
            verdict.faults.append(f"{line}; cannot be predicted again: {error}")
            continue
        stored = read_image(manifest.file(row, "pred"))
        mean = float(np.abs(again.astype(np.int16) - stored).mean())
        line += (
            f", by {mean:.3f}/255 on average from a new prediction ({MAX_MEAN_PREDICTION_DIFFERENCE}/255 is accepted)"
        )
        (verdict.accepted if mean <= MAX_MEAN_PREDICTION_DIFFERENCE else verdict.faults).append(line)


class _Again:
    """Predicts single rows with the pinned RIFE, which is loaded when first needed."""

    def __init__(self) -> None:
        self._interpolator: Any = None

    def __call__(self, manifest: Manifest, row: Mapping[str, Any]) -> Rgb:
        from dataset_tools.interpolators import create_interpolator

        self._interpolator = self._interpolator or create_interpolator("rife")
        known = (self._interpolator.name, self._interpolator.weights_sha256)
        if (row["predictor"], row["predictor_sha256"]) != known:
            raise VfiError(f"only predictions of {known[0]} can be judged, this is of {row['predictor']}")
        img0, img1 = (to_tensor(read_image(manifest.file(row, column))) for column in ("img0", "img1"))
        return to_rgb(self._interpolator.interpolate(img0, img1))


def verify(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet.")],
    rows_only: Annotated[bool, typer.Option("--rows-only", help="Do not read the image files.")] = False,
) -> int:
    """Check a data set: schema, rows, split leakage, duplicates, and every image file with its hash.

    Ends with 1 and one line per fault when anything is wrong.

    Example: python -m dataset_tools.verify data/data_manifest.parquet
    """
    verdict = verify_data_set(read_manifest(manifest), files=not rows_only)
    for line in verdict.faults:
        print(line)
    for line in verdict.accepted:
        print(f"accepted: {line}")
    print(f"{manifest}: {verdict.num_rows} rows, {verdict.num_files} files, {len(verdict.faults)} faults")
    return cli.FAILED if verdict.faults else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.verify`` and return its exit code."""
    return cli.run(verify, argv, prog="python -m dataset_tools.verify")


if __name__ == "__main__":
    sys.exit(main())

"""``python -m vfidpa_model.predict``: the difficulty of one frame pair, or of every pair of a manifest."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.common.files import inside
from dataset_tools.errors import FrameError, UsageError, VfiError
from dataset_tools.levels import LEVEL_NAMES, LEVELS

if TYPE_CHECKING:
    import pyarrow as pa

    from dataset_tools.columns.file import ManifestFile
    from dataset_tools.columns.results import ResultsJournal
    from dataset_tools.frames import Rgb
    from vfidpa_model.inference.assessor import Assessor

DEFAULT_ASSESSOR = "light"  # see inference.checkpoint.SHIPPED
_BATCH = 8
_ROWS_AT_ONCE = 1 << 14
_SAVE_EVERY_SECONDS = 30.0  # what a killed run loses at most
SCORED_BY = "scored_by"  # key of the manifest's metadata: tier -> what gave the scores


def predict(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN] [IMG0 IMG1]",
            help="training run, checkpoint folder or light, the model that comes with the toolkit (the default); "
            "and two image files",
        ),
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="score every pair of this manifest, into column score")] = None,
    map: Annotated[  # noqa: A002
        Path | None, typer.Option(help="also write the score map over the mean of the two frames to this PNG")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[
        str, typer.Option(help="torch, onnx, openvino, or auto: the fastest that was exported, on a CPU")
    ] = "auto",
) -> int:
    """Predict how hard a frame pair is to interpolate, from 1 (easy) to 4 (failed), without interpolating.

    With --manifest, pairs of the model's tier get their score, null where a frame cannot be read; other rows, and all
    labels, stay as they are.

    \b
    Examples:
      python -m vfidpa_model.predict img0.png img1.png --map difficulty.png
      python -m vfidpa_model.predict runs/light img0.png img1.png
      python -m vfidpa_model.predict runs/light --manifest data/data_manifest.parquet
    """
    run, frames = _split_arguments(paths or [], has_manifest=manifest is not None)
    if map is not None and not frames:
        raise UsageError("--map goes with two frames, not with --manifest")
    from dataset_tools.common.device import select_device
    from vfidpa_model.inference.assessor import load_checkpoint

    assessor = load_checkpoint(run, device=select_device(device), backend=backend)
    if manifest is not None:
        return _predict_manifest(assessor, manifest)
    _predict_pair(assessor, frames[0], frames[1], picture=map)
    return cli.OK


def _split_arguments(paths: Sequence[Path], *, has_manifest: bool) -> tuple[Path, Sequence[Path]]:
    """Return the run and the frames; without a run it is the model that comes with the toolkit.

    Raises:
        UsageError: Neither two frames nor a manifest, or both.
    """
    num_frames = 0 if has_manifest else 2
    if len(paths) not in (num_frames, num_frames + 1):
        wanted = "at most a run" if has_manifest else "two frames, or a run and two frames, or --manifest"
        raise UsageError(f"arguments ({len(paths)}) must be {wanted}")
    is_given = len(paths) > num_frames
    return (paths[0] if is_given else Path(DEFAULT_ASSESSOR)), paths[is_given:]


def _predict_pair(assessor: "Assessor", first: Path, second: Path, *, picture: Path | None) -> None:
    from dataset_tools.frames import read_image, write_image
    from vfidpa_model.evaluation.score_maps import overlay
    from vfidpa_model.inference.assessor import as_batch

    img0, img1 = read_image(first), read_image(second)
    if img0.shape != img1.shape:
        raise UsageError(f"{first} and {second} must have one size, found {img0.shape[:2]} and {img1.shape[:2]}")
    found = assessor.assess(as_batch(img0), as_batch(img1))
    score = float(found.score)
    level = min(max(round(score), LEVELS[0]), LEVELS[-1])
    print(f"{score:.3f} ({LEVEL_NAMES[level]}; model for {assessor.config.tier}, {assessor.backend})")
    if picture is not None:
        mean = ((img0.astype("uint16") + img1 + 1) // 2).astype("uint8")
        write_image(picture, overlay(mean, found.score_map[0].float().cpu().numpy()))


def _predict_manifest(assessor: "Assessor", path: Path) -> int:
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.common.progress import track

    manifest = open_manifest(path)
    tier = assessor.config.tier
    num_chosen = sum(len(rows) for rows in _rows_of_tier(manifest, tier, ("triplet_id", "resolution")))
    if not num_chosen:
        raise UsageError(f"manifest {path} has no pair of tier {tier}, which the model is for")
    journal = _journal(manifest.root, assessor)
    known = set(journal.read().column("triplet_id").to_pylist())  # of a run that was killed
    failures: list[str] = []
    saved = time.monotonic()
    with track("scoring", num_chosen) as progress:
        for rows in _rows_of_tier(manifest, tier, ("triplet_id", "resolution", "img0", "img1")):
            new = [row for row in rows if row["triplet_id"] not in known]
            progress.advance(len(rows) - len(new))
            for numbers, img0, img1 in _batches(manifest.root, new, failures):
                try:
                    for number, score in zip(numbers, assessor.predict(img0, img1), strict=True):
                        journal.add(new[number]["triplet_id"], {"score": float(score)})
                except FrameError as error:  # too small, all of them: a batch has one size
                    failures.extend(f"{new[number]['triplet_id']}: {error}" for number in numbers)
                progress.advance(len(numbers), note=f"{len(failures)} failed" if failures else "")
                if time.monotonic() - saved >= _SAVE_EVERY_SECONDS:
                    journal.flush()
                    saved = time.monotonic()
    journal.flush()
    _write(manifest.path, journal, assessor)
    for failure in failures:
        cli.say(failure, is_error=True)
    print(
        f"{path}: {num_chosen - len(failures)} pairs scored, {len(manifest) - num_chosen} of another tier, "
        f"{len(failures)} failed ({assessor.backend} on {assessor.device})"
    )
    return cli.FAILED if failures else cli.OK


def _journal(root: Path, assessor: "Assessor") -> "ResultsJournal":
    import pyarrow as pa

    from dataset_tools.columns.results import ResultsJournal

    name = f"{assessor.config.tier}-{assessor.weights_sha256[:8]}-{assessor.backend}"
    return ResultsJournal(root / ".scores" / name, pa.schema([("triplet_id", pa.string()), ("score", pa.float32())]))


def _rows_of_tier(manifest: "ManifestFile", tier: str, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for piece in manifest.batches(columns, rows=_ROWS_AT_ONCE):
        is_of_tier = pc.fill_null(pc.equal(piece.column("resolution").cast(pa.string()), tier), False)
        yield (piece if tier == "all" else piece.filter(is_of_tier)).to_pylist()


def _batches(
    root: Path, rows: list[dict[str, Any]], failures: list[str]
) -> Iterator[tuple[list[int], list["Rgb"], list["Rgb"]]]:
    """Yield (row numbers, img0s, img1s) of one size; a pair that cannot be read becomes a line in ``failures``."""
    from dataset_tools.frames import read_image

    numbers: list[int] = []
    firsts: list[Rgb] = []
    seconds: list[Rgb] = []
    for number, row in enumerate(rows):
        try:
            img0, img1 = (read_image(inside(root, row[column] or "")) for column in ("img0", "img1"))
            if img0.shape != img1.shape:
                raise FrameError(f"sizes {img0.shape[:2]} and {img1.shape[:2]} of img0 and img1 must be equal")
        except VfiError as error:
            failures.append(f"{row['triplet_id']}: {error}")
            continue
        if numbers and (len(numbers) == _BATCH or firsts[0].shape != img0.shape):
            yield numbers, firsts, seconds
            numbers, firsts, seconds = [], [], []
        numbers.append(number)
        firsts.append(img0)
        seconds.append(img1)
    if numbers:
        yield numbers, firsts, seconds


def _write(path: Path, journal: "ResultsJournal", assessor: "Assessor") -> None:
    """Put the scores into the manifest as it is now: labels may have come meanwhile."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from dataset_tools.columns.file import open_manifest
    from dataset_tools.columns.rewrite import Updates, rewrite_manifest, with_values

    tier = assessor.config.tier
    updates = Updates(journal.read())

    def change(piece: "pa.Table") -> "pa.Table":
        old = piece.column("score").cast(pa.float32()) if "score" in piece.column_names else pa.nulls(len(piece))
        _, found = updates.align(piece)
        # A score that is there already may be another model's: a pair of the tier that failed has none.
        is_of_tier = pc.fill_null(pc.equal(piece.column("resolution").cast(pa.string()), tier), False)
        is_new = pc.or_(is_of_tier, tier == "all")
        return with_values(piece, {"score": pc.if_else(is_new, found.column("score"), old.cast(pa.float32()))})

    try:
        known = dict(json.loads(open_manifest(path).metadata.get(SCORED_BY, "{}")))
    except (ValueError, TypeError):
        known = {}
    made_by = {"weights_sha256": assessor.weights_sha256, "backend": assessor.backend, "device": str(assessor.device)}
    rewrite_manifest(path, change, metadata={SCORED_BY: json.dumps({**known, tier: made_by}, sort_keys=True)})
    journal.clear()
    with contextlib.suppress(OSError):
        (path.parent / ".scores").rmdir()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(predict, argv, prog="python -m vfidpa_model.predict")


if __name__ == "__main__":
    sys.exit(main())

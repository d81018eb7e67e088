"""Scores for every pair of a manifest, on this machine or on a Ray cluster; kept as they come, written once."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.columns.results import ResultsJournal
from dataset_tools.columns.rewrite import Updates, rewrite_manifest, with_values
from dataset_tools.common.cluster import Cluster, LostError, as_typed, check_device
from dataset_tools.common.device import select_device
from dataset_tools.common.files import inside
from dataset_tools.common.progress import track
from dataset_tools.common.remote import Folder
from dataset_tools.errors import FrameError, UsageError, VfiError
from dataset_tools.frames import Rgb, read_image
from vfidpa_model.inference.assessor import Assessor, load_checkpoint

SCORED_BY = "scored_by"  # key of the manifest's metadata: tier -> what gave the scores
_BATCH = 8
_ROWS_AT_ONCE = 1 << 14
_ROWS_PER_TASK = 64  # whole batches: a score's last bits may depend on what is computed beside it
_SAVE_EVERY_SECONDS = 30.0  # what a killed run loses at most

Row = dict[str, Any]
Score = tuple[float | None, str]  # and, without one, why


@dataclass(frozen=True)
class Making:
    """How a machine loads the model, and which one it has to turn out to be.

    Attributes:
        run, device, backend: As ``load_checkpoint`` takes them.
        loaded: SHA-256 of the weights and backend of the driver's model.
    """

    run: str
    device: str
    backend: str
    loaded: tuple[str, str]


@dataclass(frozen=True)
class Scored:
    """How a run ended.

    Attributes:
        num_chosen: Pairs of the model's tier.
        num_others: Pairs of another tier.
        failures: One line for each pair that could not be scored.
        made_by: Of the scores: SHA-256 of the weights, backend, device.
    """

    num_chosen: int
    num_others: int
    failures: list[str]
    made_by: dict[str, str]


def score_manifest(
    path: Path, run: Path, *, device: str = "auto", backend: str = "auto", cluster: Cluster | None = None
) -> Scored:
    """Give every pair of the model's tier its score, null where a frame cannot be read; other rows stay as they are.

    Args:
        run, device, backend: See ``load_checkpoint``; a cluster deals its GPUs out itself.

    Raises:
        UsageError: The manifest has no such pair, or the device or the backend is not possible.
        CheckpointError: The model cannot be loaded.
    """
    if cluster is not None:
        check_device(device)
    on_gpu = cluster is not None and device != "cpu" and cluster.has_gpus
    backend = "torch" if on_gpu and backend == "auto" else backend
    assessor = load_checkpoint(run, device=select_device("cpu" if cluster else device), backend=backend)
    manifest = open_manifest(path)
    tier = assessor.config.tier
    num_chosen = sum(len(rows) for rows in _rows_of_tier(manifest, tier, ("triplet_id", "resolution")))
    if not num_chosen:
        raise UsageError(f"manifest {path} has no pair of tier {tier}, which the model is for")
    loaded = assessor.weights_sha256, assessor.backend
    place = str(run.absolute()) if run.exists() else str(run)
    making = Making(place, "cuda" if on_gpu else "cpu", backend, loaded)
    journal = _journal(manifest.root, assessor)
    known = set(journal.read().column("triplet_id").to_pylist())  # of a run that was killed
    failures: list[str] = []
    saved = time.monotonic()
    with track("scoring", num_chosen) as progress:
        for rows in _rows_of_tier(manifest, tier, ("triplet_id", "resolution", "img0", "img1")):
            new = [row for row in rows if row["triplet_id"] not in known]
            progress.advance(len(rows) - len(new))
            for block, scores in _scores(assessor, new, manifest.frames, cluster, making):
                for row, (score, reason) in zip(block, scores, strict=True):
                    if score is None:
                        failures.append(f"{row['triplet_id']}: {reason}")
                    else:
                        journal.add(row["triplet_id"], {"score": score})
                progress.advance(len(block), note=f"{len(failures)} failed" if failures else "")
                if time.monotonic() - saved >= _SAVE_EVERY_SECONDS:
                    journal.flush()
                    saved = time.monotonic()
    journal.flush()
    where = "cuda" if on_gpu else str(assessor.device)
    made_by = {"weights_sha256": assessor.weights_sha256, "backend": assessor.backend, "device": where}
    _write(manifest.path, journal, tier, made_by)
    return Scored(num_chosen, len(manifest) - num_chosen, sorted(failures), made_by)


def _scores(
    assessor: Assessor, rows: list[Row], root: Folder, cluster: Cluster | None, making: Making
) -> Iterator[tuple[list[Row], list[Score]]]:
    blocks = (rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK))
    if cluster is None:
        yield from ((block, score_rows(assessor, block, root)) for block in blocks)
        return
    tasks = ((block, (making, block, root.absolute())) for block in blocks)
    for block, scores in cluster.run(score_block, tasks, num_gpus=int(making.device == "cuda")):
        lost: list[Score] = [(None, str(scores))] * len(block)
        yield block, lost if isinstance(scores, LostError) else [(one, as_typed(why, root)) for one, why in scores]


def score_block(making: Making, rows: Sequence[Row], root: Folder) -> list[Score]:
    """Score rows on this machine, which keeps the model for its next block.

    Raises:
        VfiError: The model is another one here than on the driver's machine, or is not there.
    """
    assessor = _assessor(making)
    if (assessor.weights_sha256, assessor.backend) != making.loaded:
        raise VfiError(f"a machine of the cluster has another model at {making.run}, or no {making.loaded[1]}")
    return score_rows(assessor, rows, root)


@lru_cache(maxsize=1)
def _assessor(making: Making) -> Assessor:
    return load_checkpoint(making.run, device=making.device, backend=making.backend)


def score_rows(assessor: Assessor, rows: Sequence[Row], root: Folder) -> list[Score]:
    """Return the score of each row's pair, in 1 to 4, or why it has none."""
    scores: list[Score] = [(None, "")] * len(rows)
    for numbers, img0, img1 in _batches(root, rows, scores):
        try:
            found = [(float(score), "") for score in assessor.predict(img0, img1)]
        except FrameError as error:  # too small, all of them: a batch has one size
            found = [(None, str(error))] * len(numbers)  # type: ignore[list-item]
        for number, score in zip(numbers, found, strict=True):
            scores[number] = score
    return scores


def _batches(
    root: Folder, rows: Sequence[Row], scores: list[Score]
) -> Iterator[tuple[list[int], list[Rgb], list[Rgb]]]:
    """Yield (row numbers, img0s, img1s) of one size; a pair that cannot be read gets its reason in ``scores``."""
    numbers: list[int] = []
    firsts: list[Rgb] = []
    seconds: list[Rgb] = []
    for number, row in enumerate(rows):
        try:
            img0, img1 = (read_image(inside(root, row[column] or "")) for column in ("img0", "img1"))
            if img0.shape != img1.shape:
                raise FrameError(f"sizes {img0.shape[:2]} and {img1.shape[:2]} of img0 and img1 must be equal")
        except VfiError as error:
            scores[number] = None, str(error)
            continue
        if numbers and (len(numbers) == _BATCH or firsts[0].shape != img0.shape):
            yield numbers, firsts, seconds
            numbers, firsts, seconds = [], [], []
        numbers.append(number)
        firsts.append(img0)
        seconds.append(img1)
    if numbers:
        yield numbers, firsts, seconds


def _journal(root: Path, assessor: Assessor) -> ResultsJournal:
    name = f"{assessor.config.tier}-{assessor.weights_sha256[:8]}-{assessor.backend}"
    return ResultsJournal(root / ".scores" / name, pa.schema([("triplet_id", pa.string()), ("score", pa.float32())]))


def _rows_of_tier(manifest: ManifestFile, tier: str, columns: Sequence[str]) -> Iterator[list[Row]]:
    for piece in manifest.batches(columns, rows=_ROWS_AT_ONCE):
        is_of_tier = pc.fill_null(pc.equal(piece.column("resolution").cast(pa.string()), tier), False)
        yield (piece if tier == "all" else piece.filter(is_of_tier)).to_pylist()


def _write(path: Path, journal: ResultsJournal, tier: str, made_by: dict[str, str]) -> None:
    """Put the scores into the manifest as it is now: labels may have come meanwhile."""
    updates = Updates(journal.read())

    def change(piece: pa.Table) -> pa.Table:
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
    rewrite_manifest(path, change, metadata={SCORED_BY: json.dumps({**known, tier: made_by}, sort_keys=True)})
    journal.clear()
    with contextlib.suppress(OSError):
        (path.parent / ".scores").rmdir()

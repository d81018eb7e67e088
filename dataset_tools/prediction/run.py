"""Predict what is wanted of a manifest: which rows, in which order, saved as it goes, votes kept."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_tools.common import cli
from dataset_tools.common.files import try_lock
from dataset_tools.common.progress import track
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.manifest import Manifest, read_manifest
from dataset_tools.prediction.columns import ACCURATE_COLUMNS
from dataset_tools.prediction.proxy_levels import with_proxy_levels

if TYPE_CHECKING:
    from dataset_tools.prediction.predictor import Predictor

Row = Mapping[str, Any]
_SAVE_EVERY_SECONDS = 30.0  # what a killed run loses at most


@dataclass(frozen=True)
class Outcome:
    """How a run of predictions ended.

    Attributes:
        manifest: With the new columns; written already, unless nothing changed.
        num_done: Rows predicted by this run.
        num_current: Rows whose prediction was there.
        num_voted: Rows that keep their prediction because people voted on it.
        failures: One line for each row that could not be done; its columns are as before.
    """

    manifest: Manifest
    num_done: int
    num_current: int
    num_voted: int
    failures: list[str]


def predict_manifest(
    manifest: Manifest, *, predictor: str = "rife", weights: Path | None = None, device: str = "auto"
) -> Manifest:
    """Return ``manifest`` with predictions, their metrics, ``inputs_lpips`` and ``motion`` in every row.

    Rows that have a prediction of this predictor and these weights are left as they are. The manifest's file is
    written every half minute and at the end, so that a killed run goes on where it was. A row that fails is named on
    stderr and left without a prediction.

    Raises:
        UsageError, AssetError, WeightsError: The predictor cannot be loaded, or another run is predicting here.
    """
    outcome = predict_rows(manifest, predictor=predictor, weights=weights, device=device)
    for failure in outcome.failures:
        cli.say(failure, is_error=True)
    return outcome.manifest


def predict_rows(
    manifest: Manifest,
    *,
    predictor: str = "rife",
    weights: Path | None = None,
    device: str = "auto",
    role: str = "pred",
    only_missing: bool = False,
    overwrite: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Predict what is wanted and say how it went; see ``predict_manifest``.

    Args:
        role: ``pred``, or ``accurate``: measure what this interpolator would add to the predictions that are there
            (see ``gains``), and leave those as they are.
        only_missing: Leave predictions of other predictors alone as well.
        overwrite: Predict rows anew whose prediction is there. Votes belong to the pixels that were seen: rows with
            votes keep their prediction even then.
    """
    from dataset_tools.prediction.predictor import Predictor

    engine = Predictor(predictor, weights=weights, device=device, role=role)
    with _alone_in(manifest.root):
        return _predict_rows(manifest, engine, only_missing=only_missing, overwrite=overwrite, clock=clock)


def _predict_rows(
    manifest: Manifest, engine: "Predictor", *, only_missing: bool, overwrite: bool, clock: Callable[[], float]
) -> Outcome:
    rows = manifest.rows()
    states = [_state(row, manifest, engine, only_missing=only_missing, overwrite=overwrite) for row in rows]
    wanted = [position for position, state in enumerate(states) if state == "wanted"]
    results: dict[str, Row] = {}
    failures: list[str] = []
    saved = clock()
    try:
        with track("predict", len(wanted)) as progress:
            for place, result in engine.predict([rows[position] for position in wanted], root=manifest.root):
                if isinstance(result, VfiError):
                    failures.append(f"{rows[wanted[place]]['triplet_id']}: {result}")
                else:
                    results[rows[wanted[place]]["triplet_id"]] = {**rows[wanted[place]], **result}
                progress.advance(note=f"{len(failures)} failed" if failures else "")
                if clock() - saved >= _SAVE_EVERY_SECONDS:
                    _save(manifest, results, engine)
                    saved = clock()
    except BaseException:  # Ctrl-C or a full disk: what was done is kept
        with contextlib.suppress(OSError, VfiError):
            _save(manifest, results, engine)
        raise
    if results:
        manifest = _save(manifest, results, engine)
    return Outcome(manifest, len(results), states.count("current"), states.count("voted"), failures)


def _save(manifest: Manifest, results: Mapping[str, Row], engine: "Predictor") -> Manifest:
    """Write the results, by ``triplet_id``, into the file as it is now: votes may have come into it meanwhile."""
    current = read_manifest(manifest.path)
    rows = current.rows()
    new = [results.get(row["triplet_id"], row) for row in rows]
    pairs = list(zip(rows, new, strict=True))
    if engine.role == "pred":
        new = [_without_old_gain(row, row if _was_seen(row, other) else other) for row, other in pairs]
        updated = current.with_columns(_columns(new, (*engine.columns, *ACCURATE_COLUMNS)))
        updated = with_proxy_levels(updated, add=False)
    else:  # what was measured against a prediction holds for that one only
        new = [other if row["pred_sha256"] == other["pred_sha256"] else row for row, other in pairs]
        updated = current.with_columns(_columns(new, engine.columns))
    updated.write()
    return updated


def _columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def _without_old_gain(row: Row, new: Row) -> Row:
    """Return ``new``, without what an accurate model added to another prediction than it has."""
    if new["pred_sha256"] == row["pred_sha256"]:
        return {**new, **{name: row[name] for name in ACCURATE_COLUMNS}}
    return {**new, **dict.fromkeys(ACCURATE_COLUMNS)}


def _was_seen(row: Row, new: Row) -> bool:
    """Return whether people judged a prediction of ``row`` that is not by the predictor of ``new``."""
    is_same = all(row[name] == new[name] for name in ("predictor", "predictor_sha256"))
    return bool(row["votes"]) and row["pred"] is not None and not is_same


@contextlib.contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Keep other runs out of a data set, and remove temporary files of one that was killed."""
    descriptor = os.open(root, os.O_RDONLY) if os.name == "posix" else None
    try:
        if descriptor is not None and not try_lock(descriptor):
            raise UsageError(f"another run is predicting in {root}; wait for it")
        for path in root.glob("pred/**/.*.tmp"):
            path.unlink(missing_ok=True)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _state(row: Row, manifest: Manifest, engine: "Predictor", *, only_missing: bool, overwrite: bool) -> str:
    """Return ``wanted``, ``current`` (nothing to do) or ``voted`` (must keep what people saw)."""
    # Older manifests have no fingerprint: no reason to replace what people saw.
    is_whole = all(row[name] is not None for name in set(engine.columns) - {"pred_fingerprint"})
    if engine.role == "accurate":  # nobody sees it
        names = ("accurate_predictor", "accurate_predictor_sha256")
    else:
        names = ("predictor", "predictor_sha256")
        is_whole = is_whole and manifest.file(row, "pred").is_file()
    is_same = [row[name] for name in names] == [engine.name, engine.weights_sha256]
    if is_whole and not overwrite and (is_same or only_missing):
        return "current"
    if engine.role == "accurate":
        return "wanted"
    by_engine = {"predictor": engine.name, "predictor_sha256": engine.weights_sha256}
    is_kept = _was_seen(row, by_engine) or (is_whole and row["votes"])  # bits may differ on another machine
    return "voted" if is_kept else "wanted"

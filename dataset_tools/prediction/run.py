"""Predict what is wanted of a manifest: which rows, in which order, saved as it goes, votes kept."""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.columns.results import ResultsJournal
from dataset_tools.columns.rewrite import Updates, rewrite_manifest
from dataset_tools.common import cli
from dataset_tools.common.files import FolderContents, try_lock
from dataset_tools.common.parquet import Described
from dataset_tools.common.progress import track
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.manifest import IMAGE_COLUMNS, SCHEMA
from dataset_tools.prediction.columns import OF_PRED, READ_COLUMNS, ROLES
from dataset_tools.prediction.proxy_levels import level_by_proxy

if TYPE_CHECKING:
    from dataset_tools.common.cluster import Cluster
    from dataset_tools.prediction.ray_predictor import Engine

Row = Mapping[str, Any]
_SAVE_EVERY_SECONDS = 30.0  # what a killed run loses at most
_ROWS_AT_ONCE = 1 << 14
_SAID = ("votes", "num_pairs")  # what people said about a prediction
_JOURNALS = ".prediction"
_JUDGED = "judged_pred_sha256"  # of the prediction that was there when a row was worked on
_MAKER = ("predictor", "predictor_sha256")
_MAKERS = {"pred": _MAKER, "accurate": ("accurate_predictor", "accurate_predictor_sha256"), "measures": ()}


@dataclass(frozen=True)
class Outcome:
    """How a run of predictions ended.

    Attributes:
        manifest: As it is on disk now, with the new columns.
        num_done: Rows predicted by this run.
        num_current: Rows whose prediction was there.
        num_voted: Rows that keep their prediction because people voted on it.
        failures: One line for each row that could not be done; its columns are as before.
    """

    manifest: ManifestFile
    num_done: int
    num_current: int
    num_voted: int
    failures: list[str]


def predict_manifest(
    manifest: Described,
    *,
    predictor: str = "rife",
    weights: Path | None = None,
    device: str = "auto",
    cluster: "Cluster | None" = None,
) -> ManifestFile:
    """Return ``manifest`` with predictions, their metrics, ``inputs_lpips`` and ``motion`` in every row.

    Rows that have a prediction of this predictor and these weights are left as they are. Results are kept in
    ``.prediction`` beside the manifest every half minute and go into its file once, at the end; what a killed run kept
    is taken over by the next one. A row that fails is named on stderr and left without a prediction.

    Args:
        manifest: Its file counts, not what is in memory.
        cluster: Of machines that do the work; this one by default.

    Raises:
        UsageError, AssetError, WeightsError: The predictor cannot be loaded, or another run is predicting here.
    """
    outcome = predict_rows(manifest, predictor=predictor, weights=weights, device=device, cluster=cluster)
    for failure in outcome.failures:
        cli.say(failure, is_error=True)
    return outcome.manifest


def predict_rows(
    manifest: Described,
    *,
    predictor: str = "rife",
    weights: Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    role: str = "pred",
    only_missing: bool = False,
    overwrite: bool = False,
    cluster: "Cluster | None" = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Predict what is wanted and say how it went; see ``predict_manifest``.

    Args:
        role: ``pred``; or ``accurate``: measure what this interpolator would add to the predictions that are there
            (see ``gains``); or ``measures``: fill ``MEASURE_COLUMNS`` (see ``motion_measures``). Both leave the
            predictions as they are.
        only_missing: Leave predictions of other predictors alone as well.
        overwrite: Predict rows anew whose prediction is there. Votes belong to the pixels that were seen: rows with
            votes keep their prediction even then.
        cluster: Of machines that do the work; this one by default.
    """
    from dataset_tools.prediction.ray_predictor import open_predictor

    engine = open_predictor(cluster, predictor, weights=weights, device=device, backend=backend, role=role)
    with alone_in(manifest.path.parent):
        return _predict_rows(manifest.path, engine, only_missing=only_missing, overwrite=overwrite, clock=clock)


def _predict_rows(
    path: Path, engine: "Engine", *, only_missing: bool, overwrite: bool, clock: Callable[[], float]
) -> Outcome:
    take_over_results(path)  # of a run that was killed
    manifest = open_manifest(path)
    wanted, num_current, num_voted = _choose(manifest, engine, only_missing=only_missing, overwrite=overwrite)
    journal = _journal(manifest.root, engine)
    failures: list[str] = []
    num_done = 0
    saved = clock()
    try:
        with track("predict", sum(map(len, wanted))) as progress:
            for rows in _rows_at(manifest, wanted):
                for place, result in engine.predict(rows, root=manifest.frames):
                    row = rows[place]
                    if isinstance(result, VfiError):
                        failures.append(f"{row['triplet_id']}: {result}")
                    else:
                        journal.add(row["triplet_id"], {_JUDGED: row["pred_sha256"], **result})
                        num_done += 1
                    progress.advance(note=f"{len(failures)} failed" if failures else "")
                    if clock() - saved >= _SAVE_EVERY_SECONDS:
                        journal.flush()
                        saved = clock()
    finally:  # also after Ctrl-C or a full disk: the next run takes over what was done
        journal.flush()
    take_over_results(path)
    return Outcome(open_manifest(path), num_done, num_current, num_voted, sorted(failures))


def _rows_at(manifest: ManifestFile, wanted: list[npt.NDArray[np.int64]]) -> Iterator[list[Row]]:
    """Yield the wanted rows of every piece that has any."""
    names = dict.fromkeys(("triplet_id", *READ_COLUMNS, "pred_sha256"))
    for piece, places in zip(manifest.batches(list(names), rows=_ROWS_AT_ONCE), wanted, strict=True):
        if len(places):
            yield piece.take(pa.array(places)).to_pylist()


def _choose(
    manifest: ManifestFile, engine: "Engine", *, only_missing: bool, overwrite: bool
) -> tuple[list[npt.NDArray[np.int64]], int, int]:
    """Return the places of wanted rows in every piece, and how many rows are current, or keep what people saw."""
    # Older manifests have no fingerprint: no reason to replace what people saw.
    needed = [name for name in engine.columns if name != "pred_fingerprint"]
    is_pred = engine.role == "pred"  # nobody sees the others' results
    maker = _MAKERS[engine.role]
    files = FolderContents(manifest.frames)
    wanted: list[npt.NDArray[np.int64]] = []
    num_current = num_voted = 0
    names = list(dict.fromkeys((*needed, *maker, *IMAGE_COLUMNS, *_SAID)))  # paths are checked before any work
    for piece in manifest.batches(names, rows=_ROWS_AT_ONCE):
        is_whole = np.logical_and.reduce([_mask(pc.is_valid(piece.column(name))) for name in needed])
        if is_pred:
            paths = piece.column("pred").to_pylist()
            is_whole &= [there and files.has(path) for there, path in zip(is_whole.tolist(), paths, strict=True)]
        values = zip(maker, (engine.name, engine.weights_sha256), strict=False)  # measures have no maker's columns
        same = [_mask(pc.equal(piece.column(name), value)) for name, value in values]
        is_same = np.logical_and.reduce([np.ones(len(piece), np.bool_), *same])
        has_votes = _mask(pc.greater(pc.list_value_length(piece.column("votes")), 0))
        has_votes |= _mask(pc.greater(piece.column("num_pairs"), 0))
        is_current = is_whole & (is_same | only_missing) & (not overwrite)
        was_seen = has_votes & _mask(pc.is_valid(piece.column("pred"))) & ~is_same
        # Those that are whole keep theirs even from the same predictor: bits may differ on another machine.
        is_voted = is_pred & ~is_current & (was_seen | (is_whole & has_votes))
        wanted.append(np.flatnonzero(~is_current & ~is_voted))
        num_current += int(is_current.sum())
        num_voted += int(is_voted.sum())
    return wanted, num_current, num_voted


def _mask(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy())


def _journal(root: Path, engine: "Engine") -> ResultsJournal:
    maker = re.sub(r"[^A-Za-z0-9._-]", "_", f"{engine.name}-{engine.weights_sha256[:8]}".rstrip("-"))
    return _open_journal(root / _JOURNALS / f"{engine.role}-{maker}")


def _open_journal(folder: Path) -> ResultsJournal:
    role = folder.name.partition("-")[0]
    names = ("triplet_id", *ROLES[role])
    fields = [SCHEMA.field(name) for name in names]
    return ResultsJournal(folder, pa.schema([*fields, pa.field(_JUDGED, pa.string())]))


def take_over_results(path: Path) -> None:
    """Put what runs have found into the manifest as it is now: votes may have come into it meanwhile."""
    root = path.parent
    for folder in sorted((root / _JOURNALS).glob("*-*")):
        role = folder.name.partition("-")[0]
        journal = _open_journal(folder) if role in ROLES else None
        if journal:
            updates = Updates(journal.read())
            rewrite_manifest(path, lambda piece, new=updates, of=role: _with_results(piece, new, of))  # type: ignore[misc]
            journal.clear()
    with contextlib.suppress(OSError):
        (root / _JOURNALS).rmdir()


def _with_results(piece: pa.Table, updates: Updates, role: str) -> pa.Table:
    """Return a piece of a manifest with new results in place, as far as they still hold."""
    is_new, found = updates.align(piece)
    names = (*ROLES[role], *OF_PRED) if role == "pred" else ROLES[role]
    old = piece.select(dict.fromkeys(("triplet_id", "pred", "pred_sha256", *_SAID, *names, *_MAKER))).filter(is_new)
    merged = []
    for row, result in zip(old.to_pylist(), found.filter(is_new).to_pylist(), strict=True):
        judged = result.pop(_JUDGED)
        new = {**row, **result}
        if role == "pred":
            merged.append(_without_old_results(row, row if _was_seen(row, new) else new))
        else:  # what was measured against a prediction holds for that one only
            merged.append(new if row["pred_sha256"] == judged else row)
    fresh = [pa.array([row[name] for row in merged], SCHEMA.field(name).type) for name in ("triplet_id", *names)]
    updated = Updates(pa.table(fresh, names=["triplet_id", *names])).over(piece)
    return level_by_proxy(updated, add=False) if role == "pred" else updated


def _without_old_results(row: Row, new: Row) -> Row:
    """Return ``new``, without what was measured on another prediction than it has."""
    if new["pred_sha256"] == row["pred_sha256"]:
        return {**new, **{name: row[name] for name in OF_PRED}}
    return {**new, **dict.fromkeys(OF_PRED)}


def _was_seen(row: Row, new: Row) -> bool:
    """Return whether people judged a prediction of ``row`` that is not by the predictor of ``new``."""
    is_same = all(row[name] == new[name] for name in _MAKER)
    return any(row[name] for name in _SAID) and row["pred"] is not None and not is_same


@contextlib.contextmanager
def alone_in(root: Path) -> Iterator[None]:
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

"""Which rows of a manifest are samples, what their labels are, and every check that comes before any work."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.checks.leaks import find_recordings, leaks
from dataset_tools.common.files import FolderContents
from dataset_tools.common.parquet import Columns
from dataset_tools.common.remote import File
from dataset_tools.errors import ManifestError, UsageError
from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.pairs.sample import SAMPLE_COLUMNS, Sample
from vfidpa_model.pairs.sample_table import SampleTable, numbers_of, of_split

LABEL_CHOICES = ("human", "proxy", "any")
ALL_TIERS = "all"


def select_samples(manifest: Columns, *, resolution: str, labels: str) -> SampleTable:
    """Return the labelled rows of a tier, in the manifest's order; frames are not touched.

    Args:
        manifest: In memory, or opened by ``dataset_tools.columns.file.open_manifest``.
        resolution: A tier such as ``256p``, or ``all``.
        labels: ``human``, ``proxy``, or ``any``: proxy labels are never mixed in unless asked for.

    Raises:
        UsageError: Unknown tier or choice of labels; the manifest holds other tiers only.
        ManifestError: No such labels; a level outside 1 to 4; one recording in two splits; an unknown split; small
            frames.
    """
    _check_choice(labels)
    with _guarded(manifest, resolution):
        return _labelled_rows(manifest, resolution=resolution, labels=labels)


def _check_choice(labels: str) -> None:
    if labels not in LABEL_CHOICES:
        raise UsageError(f"labels ({labels!r}) must be one of {', '.join(LABEL_CHOICES)}")


@contextmanager
def _guarded(manifest: Columns, resolution: str) -> Iterator[None]:
    """Look for leaks while something else is done: Arrow and NumPy let two threads work."""
    with ThreadPoolExecutor(1) as beside:
        guard = beside.submit(check_no_leaks, manifest, resolution=resolution)
        try:
            yield
        finally:
            guard.result()  # of two faults this is the one to mend first


def _labelled_rows(manifest: Columns, *, resolution: str, labels: str) -> SampleTable:
    pieces = []
    others: set[str | None] = set()  # sources of the tier's labels
    for piece in pieces_of_tier(manifest, resolution):
        labelled = piece.filter(pc.is_valid(piece.column("level")))
        others.update(labelled.column("level_source").unique().to_pylist())
        if labels != "any":
            labelled = labelled.filter(pc.equal(labelled.column("level_source").cast(pa.string()), labels))
        pieces.append(labelled)
    samples = SampleTable(manifest.frames, pieces)
    if not samples:
        raise ManifestError(_no_labels(manifest.path, resolution=resolution, labels=labels, others=others))
    return samples


def pieces_of_tier(manifest: Columns, resolution: str, *, more: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Yield the rows of a tier, or of all, in the manifest's order, as tables of what a ``Sample`` is made of.

    Args:
        more: Names of further columns.

    Raises:
        UsageError: An unknown tier, or the manifest holds others only.
    """
    if resolution not in (*RESOLUTION_HEIGHTS, ALL_TIERS):
        raise UsageError(f"resolution ({resolution!r}) must be one of {', '.join(RESOLUTION_HEIGHTS)}, {ALL_TIERS}")
    tiers: set[str] = set()
    for piece in manifest.batches((*SAMPLE_COLUMNS, *more)):
        tiers.update(str(tier) for tier in piece.column("resolution").unique().to_pylist())
        is_of_tier = pc.equal(piece.column("resolution").cast(pa.string()), resolution)
        yield piece if resolution == ALL_TIERS else piece.filter(is_of_tier)
    if not tiers or resolution not in (ALL_TIERS, *tiers):
        known = ", ".join(sorted(tiers))
        raise UsageError(f"resolution ({resolution}) must be a tier of {manifest.path}, which has {known}")


def proxy_pictures(manifest: Columns, *, resolution: str) -> dict[str, tuple[File, File]]:
    """Return triplet -> its true middle frame and the prediction, of a tier's rows with proxy labels and both files."""
    found = {}
    for piece in pieces_of_tier(manifest, resolution, more=("gt", "pred")):
        is_proxy = pc.equal(piece.column("level_source").cast(pa.string()), "proxy")
        for row in piece.filter(is_proxy).select(["triplet_id", "gt", "pred"]).to_pylist():
            if row["gt"] and row["pred"]:
                found[row["triplet_id"]] = (manifest.frames / row["gt"], manifest.frames / row["pred"])
    return found


def samples_of_split(samples: Sequence[Sample], split: str, *, manifest: Path, labels: str) -> Sequence[Sample]:
    """Return the samples of one split.

    Args:
        manifest, labels: Where the samples come from, for the message.

    Raises:
        UsageError: There is no such split.
        ManifestError: Nothing in it is labelled.
    """
    if split not in SPLITS:
        raise UsageError(f"--split ({split!r}) must be one of {', '.join(SPLITS)}")
    found = of_split(samples, split)
    if not found:
        tiers = ", ".join(sorted({sample.resolution for sample in samples}))
        raise ManifestError(f"{manifest} has no {labels} labels at {tiers} in split {split}")
    return found


def training_samples(manifest: Columns, *, resolution: str, labels: str, aux_weight: float) -> SampleTable:
    """Return the labelled rows of a tier after every check that can fail, before any work is done.

    Raises:
        UsageError, ManifestError: As ``select_samples``; frames are missing; nothing to learn from.
    """
    _check_choice(labels)
    with _guarded(manifest, resolution):
        samples = _labelled_rows(manifest, resolution=resolution, labels=labels)
        check_trainable(samples, manifest, aux_weight=aux_weight)
    return samples


def check_no_leaks(manifest: Columns, *, resolution: str = ALL_TIERS) -> None:
    """Refuse a manifest in which a recording is in two splits: its test would be a memory test.

    By the rule of ``dataset_tools.verify``: a clip by name, file or group, an equal frame, or near-equal frames.

    Args:
        resolution: Tier whose rows count, or ``all``.

    Raises:
        ManifestError: Names the first of them, or the first unknown split.
    """
    is_of_tier = None if resolution == ALL_TIERS else pc.field("resolution").cast(pa.string()) == resolution
    recordings = find_recordings(manifest, where=is_of_tier)
    for (source, clip), splits in zip(recordings.keys, recordings.splits, strict=True):
        if unknown := splits - set(SPLITS):
            raise ManifestError(f"clip {source}/{clip}: split ({min(unknown)!r}) must be one of {', '.join(SPLITS)}")
    found = list(leaks(recordings))
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise ManifestError(f"{manifest.path}: {found[0]}{more}; dataset_tools.resplit repairs it, labels stay")


def check_frames_exist(*samples: Sequence[Sample], manifest: Columns) -> None:
    """Raise a ``ManifestError`` that counts the image files that are not where they should be; names the first."""
    frames = manifest.frames
    files, start = FolderContents(frames), os.path.join(str(frames), "")
    missing = [path for some in samples for path in _stored_paths(some, start) if not files.has(path)]
    if missing:
        raise ManifestError(
            f"{len(missing)} frames of {manifest.path} are missing, first {start}{missing[0]}; "
            "run dataset_tools.materialize"
        )


def _stored_paths(samples: Sequence[Sample], start: str) -> Iterator[str]:
    """Return the image files as the manifest says them."""
    if isinstance(samples, SampleTable):
        return samples.paths()
    return (file.removeprefix(start) for sample in samples for file in (sample.img0, sample.img1))


def check_trainable(samples: Sequence[Sample], manifest: Columns, *, aux_weight: float) -> None:
    """Check that frames are there and that there is something to learn.

    Raises:
        ManifestError: Frames are missing, split train is empty or of one level, LPIPS is needed and nowhere known.
    """
    check_frames_exist(samples, manifest=manifest)
    path = manifest.path
    train = of_split(samples, "train")
    if not train:
        raise ManifestError(f"{path} has no labelled row in split train; label some, or extract with another --split")
    if len(np.unique(numbers_of(train, "level"))) < 2:
        raise ManifestError(f"all {len(train)} training labels of {path} are {train[0].level:g}: must be two or more")
    if aux_weight > 0 and np.isnan(numbers_of(train, "inputs_lpips")).all():
        raise ManifestError(f"{path} has no inputs_lpips; run dataset_tools.predict, or train with --aux-weight 0")


def _no_labels(path: Path, *, resolution: str, labels: str, others: set[str | None]) -> str:
    if not others:
        advice = "label it with labeling_app, or run dataset_tools.predict with --proxy-levels"
        return f"{path} has no labels at {resolution}; {advice}"
    named = sorted(source or "labels of unknown source" for source in others)
    choice = named[0] if named[0] in LABEL_CHOICES else "any"
    return f"{path} has no {labels} labels at {resolution}, only {', '.join(named)}; add --labels {choice} to use them"

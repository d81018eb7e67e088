"""Which rows of a manifest are samples, what their labels are, and every check that comes before any work."""

import contextlib
import gc
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.checks.leaks import find_recordings, leaks
from dataset_tools.common.files import FolderContents
from dataset_tools.common.parquet import Columns
from dataset_tools.common.remote import File, Folder
from dataset_tools.errors import ManifestError, UsageError
from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.levels import LEVELS, is_on_scale
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.networks.config import SMALLEST_SIDE

ALL_TIERS = "all"
_HASHED_AT_ONCE = 1 << 14
_COLUMNS = (
    "triplet_id",
    "source",
    "clip",
    "split",
    "resolution",
    "width",
    "height",
    "img0",
    "img1",
    "img0_sha256",
    "img1_sha256",
    "level",
    "level_source",
    "votes",
    "inputs_lpips",
    "motion",
)
_NOT_IN_SAMPLES = ("source", "clip", "split", "resolution", "votes", "level_source")  # as they are


@dataclass(slots=True)  # frozen, making one would take three times as long
class Sample:
    """A labelled frame pair, in little memory: a training may have millions. Not to be changed.

    Attributes:
        clip: ``source/clip``; splits and bootstraps go by it.
        img0, img1: Paths of the image files, as text; ``img0_sha256``, ``img1_sha256`` are of their pixels.
        level: Consensus on the level scale, 1 to 4.
        distribution: Share of the votes per level, sums to 1; without votes the two levels around ``level``.
        votes: annotator -> level, the latest vote of each; empty for proxy labels.
        inputs_lpips, motion: From the manifest; NaN where it has none.
        gain, cell_levels: Error an accurate model removes per 64-pixel cell, row after row, and that on the level
            scale (see ``pairs.gains``); empty unless gain is the label.
    """

    triplet_id: str
    clip: str
    split: str
    resolution: str
    width: int
    height: int
    img0: str
    img1: str
    img0_sha256: str | None
    img1_sha256: str | None
    level: float
    distribution: tuple[float, ...]
    votes: Mapping[str, int]
    inputs_lpips: float
    motion: float
    gain: tuple[float, ...] = ()
    cell_levels: tuple[float, ...] = ()


def latest_votes(votes: Iterable[Mapping[str, Any]] | None) -> dict[str, int]:
    """Return annotator -> level from a manifest's raw votes: the latest of each.

    A flag asks for a look at the pair; the vote counts, as it does in the consensus.
    """
    latest: dict[str, tuple[Any, int]] = {}
    for vote in votes or ():
        if vote["level"] not in LEVELS or vote["annotator"] is None:
            continue
        known = latest.get(vote["annotator"])
        if known is None or known[0] is None or (vote["created_at"] is not None and vote["created_at"] >= known[0]):
            latest[vote["annotator"]] = (vote["created_at"], int(vote["level"]))
    return {annotator: level for annotator, (_, level) in latest.items()}


def level_distribution(votes: Mapping[str, int], *, level: float) -> tuple[float, ...]:
    """Return the probability of each level, (4,), sums to 1: the target of the ordinal head.

    With votes it is their shares: 2, 2, 3 says more than their median. Without, ``level`` lies between two whole
    levels and is shared between them so that the mean is ``level``.
    """
    if votes:
        counts = [sum(1 for given in votes.values() if given == candidate) for candidate in LEVELS]
        return tuple(count / len(votes) for count in counts)
    return tuple(max(0.0, 1.0 - abs(level - candidate)) for candidate in LEVELS)


def select_samples(manifest: Columns, *, resolution: str, labels: str) -> list[Sample]:
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
    if labels not in LABEL_CHOICES:
        raise UsageError(f"labels ({labels!r}) must be one of {', '.join(LABEL_CHOICES)}")
    check_no_leaks(manifest)
    samples = []
    others: set[str | None] = set()  # sources of the tier's labels
    with _no_collection():
        for piece in pieces_of_tier(manifest, resolution):
            labelled = piece.filter(pc.is_valid(piece.column("level")))
            others.update(labelled.column("level_source").unique().to_pylist())
            if labels != "any":
                labelled = labelled.filter(pc.equal(labelled.column("level_source").cast(pa.string()), labels))
            samples += _samples(manifest.frames, labelled)
    if not samples:
        raise ManifestError(_no_labels(manifest.path, resolution=resolution, labels=labels, others=others))
    return samples


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Let Python not look for circles among millions of new objects that have none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


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
    for piece in manifest.batches((*_COLUMNS, *more)):
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


def samples_of_split(samples: Sequence[Sample], split: str, *, manifest: Path, labels: str) -> list[Sample]:
    """Return the samples of one split.

    Args:
        manifest, labels: Where the samples come from, for the message.

    Raises:
        UsageError: There is no such split.
        ManifestError: Nothing in it is labelled.
    """
    if split not in SPLITS:
        raise UsageError(f"--split ({split!r}) must be one of {', '.join(SPLITS)}")
    found = [sample for sample in samples if sample.split == split]
    if not found:
        tiers = ", ".join(sorted({sample.resolution for sample in samples}))
        raise ManifestError(f"{manifest} has no {labels} labels at {tiers} in split {split}")
    return found


def pairs_sha256(samples: Sequence[Sample]) -> str:
    """Return the SHA-256 of what training and evaluation take from a manifest: pixels, labels and splits.

    Other columns, rows without labels and the file's name do not count.
    """
    digest = hashlib.sha256(b"[")
    for start in range(0, len(samples), _HASHED_AT_ONCE):
        facts = [
            [s.triplet_id, s.split, s.img0_sha256, s.img1_sha256, s.level, s.distribution, s.inputs_lpips, s.motion]
            + ([s.gain] if s.gain else [])  # only there, so that runs on levels keep their hash
            for s in samples[start : start + _HASHED_AT_ONCE]
        ]
        digest.update((", " if start else "").encode() + json.dumps(facts)[1:-1].encode())
    digest.update(b"]")  # one list, as it would be written at once
    return digest.hexdigest()


def training_samples(manifest: Columns, *, resolution: str, labels: str, aux_weight: float) -> list[Sample]:
    """Return the labelled rows of a tier after every check that can fail, before any work is done.

    Raises:
        UsageError, ManifestError: As ``select_samples``; frames are missing; nothing to learn from.
    """
    samples = select_samples(manifest, resolution=resolution, labels=labels)
    check_trainable(samples, manifest, aux_weight=aux_weight)
    return samples


def check_no_leaks(manifest: Columns) -> None:
    """Refuse a manifest in which a recording is in two splits: its test would be a memory test.

    By the rule of ``dataset_tools.verify``: a clip by name, file or group, an equal frame, or near-equal frames.

    Raises:
        ManifestError: Names the first of them, or the first unknown split.
    """
    recordings = find_recordings(manifest)
    for (source, clip), splits in zip(recordings.keys, recordings.splits, strict=True):
        if unknown := splits - set(SPLITS):
            raise ManifestError(f"clip {source}/{clip}: split ({min(unknown)!r}) must be one of {', '.join(SPLITS)}")
    found = list(leaks(recordings))
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise ManifestError(f"{manifest.path}: {found[0]}{more}; dataset_tools.resplit repairs it, labels stay")


def check_frames_exist(samples: Sequence[Sample], manifest: Columns) -> None:
    """Raise a ``ManifestError`` that counts the image files that are not where they should be; names the first."""
    frames = manifest.frames
    files = FolderContents(frames)
    start = len(os.path.join(str(frames), ""))
    paths = (file for sample in samples for file in (sample.img0, sample.img1))
    missing = [file for file in paths if not files.has(file[start:])]
    if missing:
        raise ManifestError(
            f"{len(missing)} frames of {manifest.path} are missing, first {missing[0]}; run dataset_tools.materialize"
        )


def check_trainable(samples: Sequence[Sample], manifest: Columns, *, aux_weight: float) -> None:
    """Check that frames are there and that there is something to learn.

    Raises:
        ManifestError: Frames are missing, split train is empty or of one level, LPIPS is needed and nowhere known.
    """
    check_frames_exist(samples, manifest)
    path = manifest.path
    train = [sample for sample in samples if sample.split == "train"]
    if not train:
        raise ManifestError(f"{path} has no labelled row in split train; label some, or extract with another --split")
    if len({sample.level for sample in train}) < 2:
        raise ManifestError(f"all {len(train)} training labels of {path} are {train[0].level:g}: must be two or more")
    if aux_weight > 0 and all(math.isnan(sample.inputs_lpips) for sample in train):
        raise ManifestError(f"{path} has no inputs_lpips; run dataset_tools.predict, or train with --aux-weight 0")


def _samples(root: Folder, labelled: pa.Table) -> list[Sample]:
    """Return labelled rows as samples: ``row_sample`` of each, without a dictionary per row."""
    if not len(labelled):
        return []
    level, width, height = (labelled.column(name) for name in ("level", "width", "height"))
    is_on = pc.and_(pc.greater_equal(level, LEVELS[0]), pc.less_equal(level, LEVELS[-1]))
    is_large = pc.and_(pc.greater_equal(width, SMALLEST_SIDE), pc.greater_equal(height, SMALLEST_SIDE))
    is_fit = pc.and_(pc.fill_null(is_on, False), pc.fill_null(is_large, False))
    has_votes = pc.any(pc.greater(pc.list_value_length(labelled.column("votes")), 0)).as_py()
    if has_votes or not pc.all(is_fit).as_py():
        return [row_sample(root, row) for row in labelled.to_pylist()]
    column = {name: labelled.column(name).to_numpy().tolist() for name in _COLUMNS if name not in _NOT_IN_SAMPLES}
    sources, clips = (pc.fill_null(labelled.column(name).cast(pa.string()), "None") for name in ("source", "clip"))
    start = os.path.join(str(root), "")
    distributions = {value: level_distribution({}, level=value) for value in set(column["level"])}
    no_votes: Mapping[str, int] = {}
    values = zip(
        column["triplet_id"],
        _shared(pc.binary_join_element_wise(sources, clips, "/")),
        [split or "train" for split in _shared(pc.fill_null(labelled.column("split").cast(pa.string()), ""))],
        _shared(labelled.column("resolution").cast(pa.string())),
        column["width"],
        column["height"],
        [start + (path or "") for path in column["img0"]],
        [start + (path or "") for path in column["img1"]],
        column["img0_sha256"],
        column["img1_sha256"],
        column["level"],
        [distributions[value] for value in column["level"]],
        itertools.repeat(no_votes, len(labelled)),
        column["inputs_lpips"],
        column["motion"],
        strict=True,
    )
    return list(itertools.starmap(Sample, values))


def _shared(texts: pa.ChunkedArray) -> list[str]:
    """Return a column of text in which equal values are one object."""
    coded = texts.combine_chunks().dictionary_encode()
    known = coded.dictionary.to_pylist()
    return [known[code] for code in coded.indices.to_pylist()]


def row_sample(root: Folder, row: Mapping[str, Any]) -> Sample:
    """Return a labelled row as a sample.

    Raises:
        ManifestError: Its level is off the scale, its frames are too small, or a path leaves the data set.
    """
    level = float(row["level"])
    if not is_on_scale(level):
        raise ManifestError(f"triplet {row['triplet_id']}: level ({level:g}) must be from 1 to 4")
    width, height = row["width"] or 0, row["height"] or 0
    if min(width, height) < SMALLEST_SIDE:
        raise ManifestError(f"triplet {row['triplet_id']}: frames ({width}x{height}) must be {SMALLEST_SIDE} a side")
    votes = latest_votes(row["votes"]) if row["level_source"] != "proxy" else {}
    return Sample(
        triplet_id=row["triplet_id"],
        clip=_clip(row),
        split=_split(row),
        resolution=row["resolution"],
        width=width,
        height=height,
        img0=os.path.join(str(root), row["img0"] or ""),
        img1=os.path.join(str(root), row["img1"] or ""),
        img0_sha256=row["img0_sha256"],
        img1_sha256=row["img1_sha256"],
        level=level,
        distribution=level_distribution(votes, level=level),
        votes=votes,
        inputs_lpips=math.nan if row["inputs_lpips"] is None else row["inputs_lpips"],
        motion=math.nan if row["motion"] is None else row["motion"],
    )


def _clip(row: Mapping[str, Any]) -> str:
    return f"{row['source']}/{row['clip']}"


def _split(row: Mapping[str, Any]) -> str:
    """A row that was never split is for training."""
    return row["split"] or "train"


def _no_labels(path: Path, *, resolution: str, labels: str, others: set[str | None]) -> str:
    if not others:
        advice = "label it with labeling_app, or run dataset_tools.predict with --proxy-levels"
        return f"{path} has no labels at {resolution}; {advice}"
    named = sorted(source or "labels of unknown source" for source in others)
    choice = named[0] if named[0] in LABEL_CHOICES else "any"
    return f"{path} has no {labels} labels at {resolution}, only {', '.join(named)}; add --labels {choice} to use them"


LABEL_CHOICES = ("human", "proxy", "any")

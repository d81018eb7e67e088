"""A labelled frame pair, and how a manifest's row becomes one."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_tools.common.remote import Folder
from dataset_tools.errors import ManifestError
from dataset_tools.levels import LEVELS, is_on_scale
from vfidpa_model.networks.config import SMALLEST_SIDE

SAMPLE_COLUMNS = (
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


@dataclass(slots=True)  # frozen, making one would take three times as long
class Sample:
    """A labelled frame pair. Not to be changed.

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


def row_sample(root: Folder, row: Mapping[str, Any]) -> Sample:
    """Return a labelled row, with ``SAMPLE_COLUMNS``, as a sample.

    Args:
        root: Where the image files lie.

    Raises:
        ManifestError: Its level is off the scale, or its frames are too small.
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
        clip=f"{row['source']}/{row['clip']}",
        split=row["split"] or "train",  # a row that was never split is for training
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

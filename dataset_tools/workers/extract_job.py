"""The work on one clip, done inside a worker process: store triplets from one decoding pass."""

import base64
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataset_tools.errors import VfiError, VideoError
from dataset_tools.frames import RESOLUTION_HEIGHTS, Rgb, fit_height, square_size
from dataset_tools.frames.paths import frame_path
from dataset_tools.frames.writer import FrameWriter, Stored
from dataset_tools.sampling.near_frames import luma_blocks
from dataset_tools.sampling.triplets import Triplet, sample_triplets
from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import Frame, iterate_frames, pts_seconds, treatment_of
from dataset_tools.video.cuts import FrameSignature, Rejection, find_rejection, is_static, signature
from dataset_tools.video.facts import cut_off_note
from dataset_tools.video.interlacing import field_order_of, is_combed
from dataset_tools.workers.messages import ExtractJob
from dataset_tools.workers.probe_job import with_heartbeats

_MAX_MISSES = 300  # triplets in a row that do not move or are rejected: the clip has no more to give


@dataclass
class ClipResult:
    """What a clip gave.

    Attributes:
        asked: How many moving triplets the job asked for.
        num_frames: Counted.
        valid: Triplets in sampling order as (img0, gt, img1) indices, up to the last one asked for.
        statics: Of each valid triplet: does nothing move in it? Static ones are stored only when asked for.
        stored: Resolution to index to hash and fingerprint of the pixels.
        sizes: Resolution to (width, height).
        pts: Index to seconds, or ``None``.
        rejected: Triplets passed over, with reason and numbers.
        is_exhausted: There are no more valid triplets than these.
        field_order: ``interlacing.field_order_of`` the clip; ``None`` for image files.
        note: What was left out of the clip; empty for a whole one.
        luma_blocks: ``near_frames.luma_blocks`` of every frame, in base64; empty from before there were any.
    """

    asked: int = 0
    num_frames: int = 0
    valid: list[tuple[int, int, int]] = field(default_factory=list)
    statics: list[bool] = field(default_factory=list)
    stored: dict[str, dict[int, Stored]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    pts: dict[int, float | None] = field(default_factory=dict)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    is_exhausted: bool = False
    luma_blocks: str = ""
    field_order: str | None = None
    note: str = ""


class UnfitClipError(VfiError):
    """A clip that is not taken as it is; ``reason`` is one or two words."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def extract(job: ExtractJob, *, heartbeat: Callable[[], None]) -> ClipResult:
    """Store the frames of a clip's first valid triplets and return what was stored.

    Args:
        heartbeat: Called at every frame, as a sign of life.

    Raises:
        VideoError, FrameError: The clip is damaged: nothing of it may be used.
        UnfitClipError: It is interlaced, or cut off, and that is not wanted.
        StorageError: A frame cannot be written.
    """
    try:
        with FrameWriter(heartbeat) as writer:
            return _Extraction(job, heartbeat, writer).run()
    except _TreatFirstError as error:
        facts = {**job.facts, "field_order": error.field_order}
        with FrameWriter(heartbeat) as writer:
            return _Extraction(replace(job, facts=facts), heartbeat, writer).run()


class _TreatFirstError(Exception):
    """The clip turned out to be interlaced: it has to be decoded again, deinterlaced."""

    def __init__(self, field_order: str) -> None:
        super().__init__(field_order)
        self.field_order = field_order


class _Extraction:
    def __init__(self, job: ExtractJob, heartbeat: Callable[[], None], writer: FrameWriter) -> None:
        self.job = job
        self.heartbeat = heartbeat
        self.writer = writer
        self.being_stored: dict[tuple[str, int], Future[Stored]] = {}  # by (tier, index)
        self.signatures: list[FrameSignature] = []
        self.combed: list[bool] = []
        self.last_pts: float | None = None
        self.treatment = treatment_of(job.facts, interlaced=job.interlaced, hdr=job.hdr)
        self.verdicts: dict[Triplet, Rejection | None] = {}
        self.result = ClipResult(asked=job.moving, stored={tier: {} for tier in job.tiers})

    def run(self) -> ClipResult:
        guess = itertools.islice(self._samples(self.job.num_frames), self.job.moving)
        self._decode({*guess, *(_from_indices(indices) for indices in self.job.statics)})
        self.result.num_frames = len(self.signatures)
        self._judge_clip()
        wanted = self._choose()
        if missing := {triplet for triplet in wanted if not self._is_stored(triplet)}:
            self._decode(missing)
        self._finish(wanted)
        return self.result

    def _judge_clip(self) -> None:
        """Find out whether the clip is interlaced or cut off, now that all of it has been seen.

        Raises:
            UnfitClipError: It is, and such clips are not wanted.
        """
        job, name = self.job, self.job.clip.name
        if job.clip.frame_files:
            return
        flagged = job.facts.get("field_order")
        order = flagged if self.treatment.deinterlace else field_order_of(self.combed, flagged)
        self.result.field_order = order
        if order not in (None, "progressive") and not self.treatment.deinterlace:
            if job.interlaced == "reject":
                combed = f"{sum(self.combed)} of {len(self.combed)} pictures are combed"
                reason = "telecined" if order == "telecined" else "interlaced"
                raise UnfitClipError(reason, f"clip {name}: {reason}, {combed}; see --interlaced")
            if job.interlaced == "deinterlace":
                raise _TreatFirstError(order)
        self.result.note = self.result.note or cut_off_note(
            job.facts.get("duration_seconds"), self.last_pts, job.facts.get("frame_rate")
        )
        if self.result.note and job.damage == "reject":
            raise UnfitClipError("cut off", f"clip {name}: {self.result.note}; see --damage")

    def _samples(self, num_frames: int) -> Iterator[Triplet]:
        return sample_triplets(num_frames, intervals=self.job.intervals, seed=self.job.seed)

    def _decode(self, wanted: set[Triplet]) -> None:
        """Go through the clip once; store the wanted triplets that are valid as soon as their last frame is there."""
        ends: dict[int, list[Triplet]] = {}
        last_use: dict[int, int] = {}
        for triplet in sorted(wanted, key=lambda triplet: triplet.img1):
            ends.setdefault(triplet.img1, []).append(triplet)
            last_use.update(dict.fromkeys(triplet.indices, triplet.img1))
        held: dict[int, Rgb] = {}
        for frame in with_heartbeats(self._frames(), self.heartbeat):
            if not self.result.num_frames:
                luma = frame.luma()
                self.signatures.append(signature(luma))
                self.combed.append(self.job.interlaced != "keep" and is_combed(luma))
                self.last_pts = pts_seconds(frame)
            elif not ends:
                break
            if frame.index in last_use:
                held[frame.index] = frame.rgb()
                self.result.pts[frame.index] = pts_seconds(frame)
            for triplet in ends.pop(frame.index, ()):
                if self._verdict(triplet) is None and self._is_asked_for(triplet):
                    self._store(triplet, held)
            held = {index: rgb for index, rgb in held.items() if last_use[index] > frame.index}

    def _frames(self) -> Iterator[Frame]:
        """Yield the clip's frames; up to the first damage where those before it are to be kept."""
        frames = iterate_frames(self.job.clip, decoder=self.job.decoder, treatment=self.treatment)
        if self.job.damage == "reject":
            yield from frames
            return
        try:
            yield from frames
        except VideoError as error:
            if not self.signatures:
                raise
            self.result.note = f"kept before the damage: {error}"

    def _verdict(self, triplet: Triplet) -> Rejection | None:
        if triplet not in self.verdicts:
            combed = [index for index in triplet.indices if self.combed[index]]
            self.verdicts[triplet] = (
                Rejection("combed frame", {"frame": float(combed[0])})
                if combed and not self.treatment.deinterlace
                else find_rejection(self.signatures[triplet.img0 : triplet.img1 + 1])
            )
        return self.verdicts[triplet]

    def _is_static(self, triplet: Triplet) -> bool:
        return is_static(self.signatures[triplet.img0 : triplet.img1 + 1])

    def _is_asked_for(self, triplet: Triplet) -> bool:
        return triplet.indices in self.job.statics or not self._is_static(triplet)

    def _store(self, triplet: Triplet, held: dict[int, Rgb]) -> None:
        source, clip = self.job.clip.key
        for index in triplet.indices:
            height, width = held[index].shape[:2]
            square = square_size(width, height, pixel_aspect=self.job.facts.get("pixel_aspect", 1.0))
            for tier in self.job.tiers:
                size = fit_height(*square, target_height=RESOLUTION_HEIGHTS[tier])
                self.result.sizes[tier] = size
                if (tier, index) not in self.being_stored:
                    path = self.job.out / frame_path(source, clip, tier, index)
                    future = self.writer.write(path, held[index], width=size[0], height=size[1])
                    self.being_stored[tier, index] = future

    def _is_stored(self, triplet: Triplet) -> bool:
        return all((tier, index) in self.being_stored for tier in self.job.tiers for index in triplet.indices)

    def _choose(self) -> list[Triplet]:
        """List the valid triplets in sampling order, and return those to be stored."""
        result, chosen = self.result, []
        moving = misses = 0
        statics_left = len(self.job.statics)
        for triplet in self._samples(result.num_frames):
            if (moving >= self.job.moving and not statics_left) or misses >= _MAX_MISSES:
                break
            rejection = self._verdict(triplet)
            if rejection is not None:
                misses += 1
                result.rejected.append(_describe(self.job.clip, triplet, rejection))
                continue
            static = self._is_static(triplet)
            moving, misses = (moving, misses + 1) if static else (moving + 1, 0)
            result.valid.append(triplet.indices)
            result.statics.append(static)
            is_static_wanted = triplet.indices in self.job.statics
            statics_left -= is_static_wanted
            if not static or is_static_wanted:
                chosen.append(triplet)
        result.is_exhausted = moving < self.job.moving
        return chosen

    def _finish(self, wanted: Sequence[Triplet]) -> None:
        """Wait for the files, and forget those stored before the number of frames was known."""
        keep = {index for triplet in wanted for index in triplet.indices}
        result = self.result
        for (tier, index), stored in self.being_stored.items():
            if index in keep:
                result.stored[tier][index] = self.writer.result(stored)
        blocks = np.concatenate([luma_blocks(plane) for plane in self.signatures] or [np.empty(0, np.uint8)])
        result.luma_blocks = base64.b64encode(blocks.tobytes()).decode()
        result.pts = {index: seconds for index, seconds in result.pts.items() if index in keep}


def _from_indices(indices: tuple[int, int, int]) -> Triplet:
    return Triplet(indices[0], indices[1] - indices[0])


def _describe(clip: Clip, triplet: Triplet, rejection: Rejection) -> dict[str, Any]:
    numbers = {name: round(value, 4) for name, value in rejection.numbers.items()}
    if "after_frame" in numbers:  # counted from img0 so far
        numbers["after_frame"] += triplet.img0
    said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items())
    return {
        "source": clip.source,
        "clip": clip.name,
        "reason": rejection.reason,
        "message": f"triplet {'-'.join(map(str, triplet.indices))}: {rejection.reason} ({said})",
        "img0_index": triplet.img0,
        "gt_index": triplet.gt,
        "img1_index": triplet.img1,
        "numbers": json.dumps(numbers, sort_keys=True),
    }


def from_json(value: Mapping[str, Any]) -> ClipResult:
    """Return the result that an answer and the journal have as JSON values, beside the clip's ``sha256``."""

    def by_index(entries: dict[str, Any]) -> dict[int, Any]:
        return {int(index): item for index, item in entries.items()}

    return ClipResult(
        **{
            **{name: part for name, part in value.items() if name != "sha256"},
            "valid": [tuple(indices) for indices in value["valid"]],
            "stored": {
                tier: {index: Stored(*stored) for index, stored in by_index(frames).items()}
                for tier, frames in value["stored"].items()
            },
            "sizes": {tier: tuple(size) for tier, size in value["sizes"].items()},
            "pts": by_index(value["pts"]),
        }
    )

"""The work on one clip, done inside a worker process: look at it, and store triplets from one decoding pass."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import av.error
from PIL import Image

from dataset_tools.errors import FrameError
from dataset_tools.frames import RESOLUTION_HEIGHTS, Rgb, fit_height
from dataset_tools.frames.paths import frame_path
from dataset_tools.frames.writer import FrameWriter, Stored
from dataset_tools.sampling.triplets import Triplet, sample_triplets
from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import clip_sha256, clip_stamp, iterate_frames, pts_seconds
from dataset_tools.video import open_video
from dataset_tools.video.cuts import FrameSignature, Rejection, find_rejection, is_static, signature
from dataset_tools.video.pyav import open_container

_FEW_FRAMES = 64  # below that, a clip is counted by decoding: it could be taken for too short
_MAX_MISSES = 300  # triplets in a row that do not move or are rejected: the clip has no more to give


@dataclass(frozen=True)
class ExtractJob:
    """What to store of a clip.

    Attributes:
        out: The data set's folder.
        num_frames: Number of frames as the container claims; a wrong one costs a second decoding pass.
        moving: How many triplets to store in which something moves.
        statics: Indices of static triplets to store besides, as found by an earlier job.
        tiers: Resolutions to store.
        seed: See ``triplets.clip_seed``.
    """

    clip: Clip
    out: Path
    num_frames: int
    moving: int
    statics: tuple[tuple[int, int, int], ...]
    tiers: tuple[str, ...]
    intervals: tuple[int, int]
    seed: int
    decoder: str


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


def probe(clip: Clip, *, decoder: str, heartbeat: Callable[[], None]) -> dict[str, Any]:
    """Return ``width``, ``height``, ``num_frames`` (claimed), ``sha256`` (of videos, else ``None``) and ``stamp``.

    Raises:
        VideoError, FrameError: The clip is missing or unreadable.
    """
    stamp = clip_stamp(clip)
    if clip.frame_files:
        try:
            with Image.open(clip.path / clip.frame_files[0]) as image:
                width, height = image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise FrameError(f"clip {clip.name}: cannot read {clip.frame_files[0]}: {error}") from error
        num_frames, sha256 = len(clip.frame_files), None
    else:
        with open_video(clip.path, decoder=decoder) as reader:
            width, height = reader.info.width, reader.info.height
            num_frames = reader.info.num_frames_from_header or _count_packets(clip.path)
            if num_frames < _FEW_FRAMES:
                num_frames = sum(1 for _ in _with_heartbeats(reader.frames(), heartbeat))
        sha256 = clip_sha256(clip)
    return {"width": width, "height": height, "num_frames": num_frames, "sha256": sha256, "stamp": stamp}


def _count_packets(path: Path) -> int:
    """Return the number of compressed pictures, without decoding them: good enough to start from."""
    with open_container(path) as container:
        try:
            return sum(1 for packet in container.demux(video=0) if packet.size)
        except av.error.FFmpegError:
            return 0


def _with_heartbeats(frames: Iterator[Any], heartbeat: Callable[[], None]) -> Iterator[Any]:
    for frame in frames:
        heartbeat()
        yield frame


def extract(job: ExtractJob, *, heartbeat: Callable[[], None]) -> ClipResult:
    """Store the frames of a clip's first valid triplets and return what was stored.

    Args:
        heartbeat: Called at every frame, as a sign of life.

    Raises:
        VideoError, FrameError: The clip is damaged: nothing of it may be used.
        StorageError: A frame cannot be written.
    """
    with FrameWriter() as writer:
        return _Extraction(job, heartbeat, writer).run()


class _Extraction:
    def __init__(self, job: ExtractJob, heartbeat: Callable[[], None], writer: FrameWriter) -> None:
        self.job = job
        self.heartbeat = heartbeat
        self.writer = writer
        self.being_stored: dict[tuple[str, int], Future[Stored]] = {}  # by (tier, index)
        self.signatures: list[FrameSignature] = []
        self.verdicts: dict[Triplet, Rejection | None] = {}
        self.result = ClipResult(asked=job.moving, stored={tier: {} for tier in job.tiers})

    def run(self) -> ClipResult:
        guess = itertools.islice(self._samples(self.job.num_frames), self.job.moving)
        self._decode({*guess, *(_from_indices(indices) for indices in self.job.statics)})
        self.result.num_frames = len(self.signatures)
        wanted = self._choose()
        if missing := {triplet for triplet in wanted if not self._is_stored(triplet)}:
            self._decode(missing)
        self._finish(wanted)
        return self.result

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
        for frame in _with_heartbeats(iterate_frames(self.job.clip, decoder=self.job.decoder), self.heartbeat):
            if not self.result.num_frames:
                self.signatures.append(signature(frame.luma()))
            elif not ends:
                break
            if frame.index in last_use:
                held[frame.index] = frame.rgb()
                self.result.pts[frame.index] = pts_seconds(frame)
            for triplet in ends.pop(frame.index, ()):
                if self._verdict(triplet) is None and self._is_asked_for(triplet):
                    self._store(triplet, held)
            held = {index: rgb for index, rgb in held.items() if last_use[index] > frame.index}

    def _verdict(self, triplet: Triplet) -> Rejection | None:
        if triplet not in self.verdicts:
            self.verdicts[triplet] = find_rejection(self.signatures[triplet.img0 : triplet.img1 + 1])
        return self.verdicts[triplet]

    def _is_static(self, triplet: Triplet) -> bool:
        return is_static(self.signatures[triplet.img0 : triplet.img1 + 1])

    def _is_asked_for(self, triplet: Triplet) -> bool:
        return triplet.indices in self.job.statics or not self._is_static(triplet)

    def _store(self, triplet: Triplet, held: dict[int, Rgb]) -> None:
        source, clip = self.job.clip.key
        for index in triplet.indices:
            height, width = held[index].shape[:2]
            for tier in self.job.tiers:
                size = fit_height(width, height, target_height=RESOLUTION_HEIGHTS[tier])
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
                result.stored[tier][index] = stored.result()
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


def to_json(value: ClipResult) -> dict[str, Any]:
    """Return a result as JSON values; ``from_json`` is the way back."""
    return asdict(value)


def from_json(value: dict[str, Any]) -> ClipResult:
    """Return the result that ``to_json`` wrote."""

    def by_index(entries: dict[str, Any]) -> dict[int, Any]:
        return {int(index): item for index, item in entries.items()}

    return ClipResult(
        **{
            **value,
            "valid": [tuple(indices) for indices in value["valid"]],
            "stored": {
                tier: {index: Stored(*stored) for index, stored in by_index(frames).items()}
                for tier, frames in value["stored"].items()
            },
            "sizes": {tier: tuple(size) for tier, size in value["sizes"].items()},
            "pts": by_index(value["pts"]),
        }
    )

"""The first look at a clip, done inside a worker process: its size, its length, and what its stream says of itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.error
from PIL import Image

from dataset_tools.errors import FrameError
from dataset_tools.sources.clip_frames import clip_sha256, clip_stamp
from dataset_tools.video import open_video
from dataset_tools.video.facts import clip_facts, facts_of
from dataset_tools.video.pyav import PyavReader, open_container
from dataset_tools.workers.messages import ProbeJob

_FEW_FRAMES = 64  # below that, a clip is counted by decoding: it could be taken for too short


def probe(job: ProbeJob, *, heartbeat: Callable[[], None]) -> dict[str, Any]:
    """Return ``width``, ``height``, ``num_frames`` (claimed), ``sha256`` (of videos, else ``None``) and ``stamp``.

    Of videos also ``facts.clip_facts``.

    Raises:
        VideoError, FrameError: The clip is missing or unreadable.
    """
    clip, decoder = job.clip, job.decoder
    stamp = clip_stamp(clip)
    facts: dict[str, Any] = {}
    if clip.frame_files:
        try:
            with Image.open(clip.path / clip.frame_files[0]) as image:
                width, height = image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise FrameError(f"clip {clip.name}: cannot read {clip.frame_files[0]}: {error}") from error
        num_frames, sha256 = len(clip.frame_files), None
        facts = {"frame_rate": clip.frame_rate}
    else:
        with open_video(clip.path, decoder=decoder) as reader:
            if isinstance(reader, PyavReader):
                facts = facts_of(reader, decoder=decoder)
            else:
                facts = clip_facts(clip.path, decoder=decoder)
            width, height = reader.info.width, reader.info.height
            num_frames = reader.info.num_frames_from_header or _count_packets(clip.path)
            if num_frames < _FEW_FRAMES:
                num_frames = sum(1 for _ in with_heartbeats(reader.frames(), heartbeat))
        sha256 = clip_sha256(clip)
    known = {"width": width, "height": height, "num_frames": num_frames, "sha256": sha256, "stamp": stamp}
    return {**known, **facts}


def _count_packets(path: Path) -> int:
    """Return the number of compressed pictures, without decoding them: good enough to start from."""
    with open_container(path) as container:
        try:
            return sum(1 for packet in container.demux(video=0) if packet.size)
        except av.error.FFmpegError:
            return 0


def with_heartbeats(frames: Iterator[Any], heartbeat: Callable[[], None]) -> Iterator[Any]:
    """Yield frames and give a sign of life for each."""
    for frame in frames:
        heartbeat()
        yield frame

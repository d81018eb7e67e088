"""The other tracks of a file: which of them an output can hold, and taking them over as they are."""

import contextlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from dataset_tools.common.priority import usual_priority
from dataset_tools.errors import VideoError
from dataset_tools.video.pyav import open_container
from vfidpa_model.interpolation.sound import add_stretched

_COPIED = ("audio", "subtitle", "attachment")
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}  # what players look for
_STREAM_FACTS = re.compile(
    r"(encoder|duration|timecode|rotate|vendor_id|bps|alpha_mode|number_of_.*|_statistics_.*)(-|$)", re.I
)
_FILE_TYPES = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov"}
DROP_CHOICES = ("audio", "subtitles", "data")
_DROPPED_KINDS = {"audio": ("audio",), "subtitles": ("subtitle",), "data": ("data", "attachment", "video")}
_TEXT_SUBTITLES = ("subrip", "ass", "ssa", "mov_text", "webvtt", "text")
_WORDS = {"matroska": "subrip", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}  # what they can become


@dataclass(frozen=True)
class TrackPlan:
    """What becomes of a track of the input.

    Attributes:
        index: Its number there.
        becomes: ``None`` as it is, ``"stretched"`` sound, else the kind of subtitles that it becomes.
    """

    index: int
    becomes: str | None = None


def is_cover(stream: Any) -> bool:
    """Return whether a stream is the picture on the cover, which FFmpeg counts as video."""
    return stream.type == "video" and bool(stream.disposition & stream.disposition.attached_pic)


def tracks_to_copy(original: av.container.InputContainer, container: str) -> list[Any]:
    """Return the streams that are taken over as they are: audio, subtitles, attached files, the cover picture."""
    return [track for track in original.streams if track.type in _COPIED or _is_kept_cover(track, container)]


def tracks_left_out(original: av.container.InputContainer, video: Any, tracks: Collection[TrackPlan]) -> list[str]:
    """Return in words the streams that are not taken over; ``video`` is the one that is interpolated."""
    kept = {video.index, *(track.index for track in tracks)}
    chapters = "bin_data" if original.chapters() else None  # FFmpeg shows the chapters of an MP4 as such a track, too
    return [
        f"track {track.index} ({_describe(track)})"
        for track in original.streams
        if track.index not in kept and not (track.type == "data" and _name(track) == chapters)
    ]


def tracks_changed(original: av.container.InputContainer, tracks: Collection[TrackPlan]) -> list[str]:
    """Return in words what becomes of the streams that are not taken over as they are."""
    return [
        f"track {plan.index} ({_describe(original.streams[plan.index])}) becomes {plan.becomes}"
        for plan in tracks
        if plan.becomes not in (None, "stretched")
    ]


def kept_stream_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags of a video stream that hold for the output, too: not its time code and statistics."""
    return {key: value for key, value in metadata.items() if not _STREAM_FACTS.match(key)}


def file_path(original: av.container.InputContainer) -> Path:
    """Return the file a container was opened from by ``dataset_tools.video.pyav.open_container``."""
    return Path(original.name.removeprefix("file:"))


def plan_tracks(
    original: av.container.InputContainer,
    container: str,
    video: Any,
    *,
    drop: Collection[str] = (),
    stretches: bool = False,
) -> list[TrackPlan]:
    """Return what becomes of the other tracks, by beginning an output that goes nowhere, before any work.

    Args:
        container: FFmpeg's name of the container.
        video: A ``vfidpa_model.interpolation.writer.Encoding``.
        drop: Kinds of tracks to leave out, see ``DROP_CHOICES``.
        stretches: Sound is to last longer than it does.

    Raises:
        VideoError: The output cannot be begun; the message names the encoder, or the track and a way out.
    """
    check_video(container, video)
    tracks = [track for track in tracks_to_copy(original, container) if track.type not in _dropped(drop)]
    plans = [_plan(track, container, video, stretches=stretches) for track in tracks]
    if _refusal(tracks, plans, container, video) is None:
        return plans
    bad = [k for k, track in enumerate(tracks) if _refusal([track], [plans[k]], container, video) is not None]
    track = tracks[bad[0] if bad else 0]
    fitting = [
        ending
        for name, ending in _FILE_TYPES.items()
        if _refusal(tracks, [_plan(track, name, video, stretches=stretches) for track in tracks], name, video) is None
    ]
    readable = track.type == "audio" and track.codec_context is not None
    change = f"-c copy -c:{track.index} flac" if readable else f"-map -0:{track.index} -c copy"
    remedy = f"name OUT {fitting[0]}" if fitting else f"change it first: ffmpeg -i IN -map 0 {change} NEW.mkv"
    kind = next(kind for kind in DROP_CHOICES if track.type in _dropped([kind]) or kind == DROP_CHOICES[-1])
    raise VideoError(
        f"clip {file_path(original)}: track {track.index} ({_describe(track)}) cannot be stored in "
        f"{container}; {remedy}, or give --drop {kind}"
    )


def check_video(container: str, video: Any) -> None:
    """Check that an output can be begun with this video alone.

    Raises:
        VideoError: It cannot.
    """
    reason = _refusal([], [], container, video)
    if reason is not None:
        raise VideoError(
            f"codec {video.codec!r} cannot put {video.width}x{video.height} {video.pix_fmt} into {container}: {reason}"
        )


def add_track(track: Any, output: av.container.OutputContainer, plan: TrackPlan) -> Any:
    """Add a track for ``track`` to an output, as planned, and return it.

    Raises:
        ValueError, FFmpegError: The output cannot hold it.
    """
    if is_cover(track) and output.format.name != "mp4":
        name, kind = _COVERS[_name(track)]
        return output.add_attachment(track.metadata.get("filename", name), kind, _picture(track))
    if plan.becomes == "stretched":
        return add_stretched(track, output)
    if plan.becomes is not None:
        track.codec_context.open(strict=False)  # its header is that of the new one
        stream: Any = output.add_stream(plan.becomes)
        stream.codec_context.subtitle_header = track.codec_context.subtitle_header
    else:
        stream = output.add_stream_from_template(track, opaque=True)
    stream.metadata.update(track.metadata)
    stream.disposition = track.disposition
    return stream


def _plan(track: Any, container: str, video: Any, *, stretches: bool) -> TrackPlan:
    if track.type == "audio" and stretches:
        return TrackPlan(track.index, "stretched")
    as_it_is = TrackPlan(track.index)
    words = _WORDS.get(container)
    if track.type != "subtitle" or words is None or _name(track) not in _TEXT_SUBTITLES:
        return as_it_is
    return as_it_is if _refusal([track], [as_it_is], container, video) is None else TrackPlan(track.index, words)


def _dropped(drop: Collection[str]) -> set[str]:
    return {kind for name in drop for kind in _DROPPED_KINDS[name]}


def _refusal(tracks: list[Any], plans: list[TrackPlan], container: str, video: Any) -> str | None:
    output = av.open(os.devnull, "w", format=container)
    try:
        video.add_stream(output)
        for track, plan in zip(tracks, plans, strict=True):
            add_track(track, output, plan)
        with usual_priority():
            output.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    finally:
        with contextlib.suppress(av.error.FFmpegError):  # the end of an empty file
            output.close()
    return None


def _picture(cover: Any) -> bytes:
    with open_container(file_path(cover.container)) as container:  # its own: reading moves on in the file
        return bytes(next(packet for packet in container.demux(container.streams[cover.index]) if packet.size))


def _is_kept_cover(track: Any, container: str) -> bool:
    return is_cover(track) and container in ("mp4", "matroska") and _name(track) in _COVERS


def _describe(track: Any) -> str:
    return f"cover picture, {_name(track)}" if is_cover(track) else f"{track.type}, {_name(track) or 'unknown'}"


def _name(track: Any) -> str:
    if track.codec_context is not None:
        return str(track.codec_context.codec.canonical_name)
    name = getattr(track, "name", None)
    return str(
        name or ("time code" if "timecode" in track.metadata else track.metadata.get("handler_name", "")).strip()
    )

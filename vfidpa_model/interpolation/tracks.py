"""The other tracks of a file: which of them an output can hold, and taking them over as they are."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import av
import av.error

from dataset_tools.errors import VideoError
from dataset_tools.video.pyav import open_container

_COPIED = ("audio", "subtitle", "attachment")
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}  # what players look for
_STREAM_FACTS = re.compile(
    r"(encoder|duration|timecode|rotate|vendor_id|bps|alpha_mode|number_of_.*|_statistics_.*)(-|$)", re.I
)
_FILE_TYPES = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov"}


def is_cover(stream: Any) -> bool:
    """Return whether a stream is the picture on the cover, which FFmpeg counts as video."""
    return stream.type == "video" and bool(stream.disposition & stream.disposition.attached_pic)


def tracks_to_copy(original: av.container.InputContainer, container: str) -> list[Any]:
    """Return the streams that are taken over as they are: audio, subtitles, attached files, the cover picture."""
    return [track for track in original.streams if track.type in _COPIED or _is_kept_cover(track, container)]


def tracks_left_out(original: av.container.InputContainer, video: Any, container: str) -> list[str]:
    """Return in words the streams that are not taken over; ``video`` is the one that is interpolated."""
    kept = {video.index, *(track.index for track in tracks_to_copy(original, container))}
    chapters = "bin_data" if original.chapters() else None  # FFmpeg shows the chapters of an MP4 as such a track, too
    return [
        f"track {track.index} ({_describe(track)})"
        for track in original.streams
        if track.index not in kept and not (track.type == "data" and _name(track) == chapters)
    ]


def kept_stream_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags of a video stream that hold for the output, too: not its time code and statistics."""
    return {key: value for key, value in metadata.items() if not _STREAM_FACTS.match(key)}


def file_path(original: av.container.InputContainer) -> Path:
    """Return the file a container was opened from by ``dataset_tools.video.pyav.open_container``."""
    return Path(original.name.removeprefix("file:"))


def add_track(track: Any, output: av.container.OutputContainer) -> Any:
    """Add a track like ``track`` to an output and return it.

    Raises:
        ValueError, FFmpegError: The output cannot hold it.
    """
    if is_cover(track) and output.format.name != "mp4":
        name, kind = _COVERS[_name(track)]
        return output.add_attachment(track.metadata.get("filename", name), kind, _picture(track))
    stream: Any = output.add_stream_from_template(track, opaque=True)
    stream.metadata.update(track.metadata)
    stream.disposition = track.disposition
    return stream


def check_tracks(original: av.container.InputContainer, container: str, video: Any) -> None:
    """Check, before any work, that an output with this video can be begun, by beginning one that goes nowhere.

    Args:
        container: FFmpeg's name of the container.
        video: A ``vfidpa_model.interpolation.writer.Encoding``.

    Raises:
        VideoError: It cannot; the message names the encoder, or the track and a file type that can hold all.
    """
    reason = _refusal([], container, video)
    if reason is not None:
        raise VideoError(
            f"codec {video.codec!r} cannot put {video.width}x{video.height} {video.pix_fmt} into {container}: {reason}"
        )
    tracks = tracks_to_copy(original, container)
    if _refusal(tracks, container, video) is None:
        return
    track = next((track for track in tracks if _refusal([track], container, video) is not None), tracks[0])
    fitting = [ending for name, ending in _FILE_TYPES.items() if _refusal(tracks, name, video) is None]
    readable = track.type == "audio" and track.codec_context is not None
    change = f"-c copy -c:{track.index} flac" if readable else f"-map -0:{track.index} -c copy"
    remedy = f"name OUT {fitting[0]}" if fitting else f"change it first: ffmpeg -i IN -map 0 {change} NEW.mkv"
    raise VideoError(
        f"clip {file_path(original)}: track {track.index} ({_describe(track)}) cannot be stored in "
        f"{container}; {remedy}"
    )


def _refusal(tracks: list[Any], container: str, video: Any) -> str | None:
    output = av.open(os.devnull, "w", format=container)
    try:
        video.add_stream(output)
        for track in tracks:
            add_track(track, output)
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

"""Pixels that are not square, in Matroska and WebM: the size at which the picture is to be shown, put into the header.

FFmpeg's muxer writes it from a field of the stream that PyAV does not set. The header has room for it: an empty
element stands before the description of the tracks, which moves forward by as much as is put in.
"""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dataset_tools.errors import VideoError

_SEGMENT, _SEEK_HEAD, _VOID, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x114D9B74, 0xEC, 0x1654AE6B, 0xAE, 0xE0
_SEEK, _SEEK_POSITION, _CRC, _CLUSTER = 0x4DBB, 0x53AC, 0xBF, 0x1F43B675
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class _Element:
    """A piece of EBML: its number, where it, its content and its end are."""

    number: int
    start: int
    content: int
    end: int


def set_display_size(path: Path, width: int, height: int, shape: Fraction) -> None:
    """Write the size at which the first video track is to be shown into a file as FFmpeg's muxer leaves it.

    Args:
        width, height: Of the stored picture.
        shape: Width of a pixel over its height.

    Raises:
        VideoError: The header is not as expected.
    """
    with path.open("r+b") as file:
        data = file.read(_HEADER_BYTES)
        segment = next(element for element in _elements(data, 0, len(data)) if element.number == _SEGMENT)
        parts: dict[int, _Element] = {}
        for element in _elements(data, segment.content, len(data)):
            if element.number == _CLUSTER:
                break
            parts.setdefault(element.number, element)
        if not {_SEEK_HEAD, _VOID, _TRACKS} <= set(parts) or parts[_VOID].start > parts[_TRACKS].start:
            raise VideoError(f"{path}: the pixel shape cannot be stored: its header is not as expected")
        tracks = _with_display_size(data, parts[_TRACKS], round(width * shape), height)
        growth = len(tracks) - (parts[_TRACKS].end - parts[_TRACKS].start)
        void = parts[_VOID]
        room = void.end - void.start - growth
        if room < 2 + 8:
            raise VideoError(f"{path}: the pixel shape cannot be stored: its header has no room")
        head = bytearray(data[: void.start])
        _move(head, parts[_SEEK_HEAD], void.end - segment.content, parts[_TRACKS].start - segment.content, growth)
        empty = bytes([_VOID]) + _size(room - 9, 8) + bytes(room - 9)
        between = data[void.end : parts[_TRACKS].start]
        file.seek(0)
        file.write(bytes(head) + empty + between + tracks)


def _with_display_size(data: bytes, tracks: _Element, width: int, height: int) -> bytes:
    """Return the description of the tracks with the size put into that of the first video track."""
    added = b"".join(
        _number(number) + _size(4, 1) + value.to_bytes(4, "big")
        for number, value in ((_DISPLAY_WIDTH, width), (_DISPLAY_HEIGHT, height))
    )
    entries = [element for element in _elements(data, tracks.content, tracks.end) if element.number == _ENTRY]
    for entry in entries:
        for video in _elements(data, entry.content, entry.end):
            if video.number == _VIDEO:
                kept = b"".join(
                    data[part.start : part.end]
                    for part in _elements(data, video.content, video.end)
                    if part.number not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
                )
                inner = _element(_VIDEO, kept + added)
                changed = _element(_ENTRY, data[entry.content : video.start] + inner + data[video.end : entry.end])
                return _checked(data[tracks.content : entry.start] + changed + data[entry.end : tracks.end])
    raise VideoError("no video track is in the header")


def _checked(content: bytes) -> bytes:
    """Return the description of the tracks, with its checksum made anew where it has one."""
    first = _elements(content, 0, len(content))[0]
    if first.number == _CRC:
        rest = content[first.end :]
        content = _number(_CRC) + _size(4, 1) + zlib.crc32(rest).to_bytes(4, "little") + rest
    return _element(_TRACKS, content)


def _move(head: bytearray, seek_head: _Element, first: int, last: int, growth: int) -> None:
    """Set the places that lie from ``first`` to ``last`` forward by ``growth``, in the table of contents."""
    for seek in _elements(bytes(head), seek_head.content, seek_head.end):
        for part in _elements(bytes(head), seek.content, seek.end) if seek.number == _SEEK else ():
            if part.number == _SEEK_POSITION:
                place = int.from_bytes(head[part.content : part.end], "big")
                if first <= place <= last:
                    head[part.content : part.end] = (place - growth).to_bytes(part.end - part.content, "big")
    children = _elements(bytes(head), seek_head.content, seek_head.end)
    if children and children[0].number == _CRC:
        rest = bytes(head[children[0].end : seek_head.end])
        head[children[0].content : children[0].end] = zlib.crc32(rest).to_bytes(4, "little")


def _elements(data: bytes, start: int, end: int) -> list[_Element]:
    found = []
    while start < end:
        length = 9 - data[start].bit_length()
        number = int.from_bytes(data[start : start + length], "big")
        at = start + length
        width = 9 - data[at].bit_length()
        value = int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)
        content = at + width
        stop = end if value == (1 << (7 * width)) - 1 else content + value  # all ones: up to the end
        found.append(_Element(number, start, content, stop))
        start = stop
    return found


def _element(number: int, content: bytes) -> bytes:
    return _number(number) + _size(len(content), 4) + content


def _number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(value: int, width: int) -> bytes:
    return (value | 1 << (7 * width)).to_bytes(width, "big")

"""What an input can be: a video file, numbered pictures, or raw video on standard input."""

import re
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from dataset_tools.errors import UsageError, VideoError
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolation.seeking import Entry, find_entry, open_at

PICTURES = ("png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp", "exr", "dpx", "ppm", "pgm")
_NUMBER = re.compile(r"(.*?)(\d+)(\.[A-Za-z0-9]+)")
_PATTERN = re.compile(r"%(0?)(\d*)d")
_SHOWN = 3


@dataclass(frozen=True)
class Input:
    """An input.

    Attributes:
        path: A video file, a folder of numbered pictures, a pattern like ``frames/%06d.png``, or ``-``.
        fps: Frames per second of pictures and of raw video.
        raw: ``"1920x1080:yuv420p"`` for raw video on standard input; else it is Y4M.
    """

    path: Path
    fps: Fraction = Fraction(24)
    raw: str | None = None

    @property
    def is_pipe(self) -> bool:
        """Whether it is standard input, which is read once."""
        return str(self.path) == "-"

    @property
    def is_pictures(self) -> bool:
        """Whether it is a series of numbered pictures."""
        return not self.is_pipe and not self.path.is_file() and (self.path.is_dir() or is_pattern(self.path))

    @property
    def has_tracks(self) -> bool:
        """Whether there can be sound and other tracks to take over."""
        return not self.is_pipe and not self.is_pictures

    def entry(self, start: Fraction | None) -> Entry | None:
        """Return where a file is begun for what is shown from ``start`` on; ``None`` for the beginning."""
        return find_entry(self.path, start) if start and self.has_tracks else None

    def open(self, damage: DamageLog, entry: Entry | None = None) -> PyavReader:
        """Open it for reading, at an entry of its own; see ``PyavReader``.

        Raises:
            VideoError: It cannot be read.
        """
        container = self._pipe() if self.is_pipe else self._pictures() if self.is_pictures else None
        if entry is not None:
            container = open_at(self.path, entry)
        return PyavReader(self.path, damage=damage, with_alpha=True, container=container)

    def facts(self) -> list[Any]:
        """Return what tells it from another input of that name."""
        paths = numbered_pictures(self.path)[1] if self.is_pictures else [self.path]
        stats = [path.stat() for path in paths]
        told = [str(self.path.resolve()), sum(fact.st_size for fact in stats), max(fact.st_mtime_ns for fact in stats)]
        return [*told, len(paths), str(self.fps)] if self.is_pictures else told

    def _pictures(self) -> av.container.InputContainer:
        pattern, paths = numbered_pictures(self.path)
        first = _NUMBER.fullmatch(paths[0].name)
        assert first is not None
        options = {"framerate": str(self.fps), "start_number": str(int(first[2]))}
        try:
            return av.open(
                f"file:{pattern}", format="image2", options=options, container_options={"protocol_whitelist": "file"}
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"pictures {self.path} cannot be read: {getattr(error, 'strerror', None)}") from error

    def _pipe(self) -> av.container.InputContainer:
        options, kind = {}, "yuv4mpegpipe"
        if self.raw is not None:
            size, _, pix_fmt = self.raw.partition(":")
            if not re.fullmatch(r"\d+x\d+", size) or not pix_fmt:
                raise UsageError(f"--raw {self.raw!r} must be WIDTHxHEIGHT:FORMAT, e.g. 1920x1080:yuv420p")
            options = {"video_size": size, "pixel_format": pix_fmt, "framerate": str(self.fps)}
            kind = "rawvideo"
        try:
            return av.open(sys.stdin.buffer, "r", format=kind, options=options)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"standard input is no {kind} video: {getattr(error, 'strerror', None)}") from error


def is_pattern(path: Path) -> bool:
    """Return whether a name stands for numbered pictures, e.g. ``frame_%06d.png``."""
    return _PATTERN.search(path.name) is not None and path.suffix.lower().removeprefix(".") in PICTURES


def numbered_pictures(path: Path) -> tuple[str, list[Path]]:
    """Return FFmpeg's pattern for a series of pictures, and the files in order.

    Args:
        path: A folder that holds one series, or a pattern.

    Raises:
        VideoError: There are none, several series, or numbers are missing.
    """
    folder, pattern = (path, None) if path.is_dir() else (path.parent, _PATTERN.search(path.name))
    found: dict[tuple[str, int, str], list[tuple[int, Path]]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _NUMBER.fullmatch(file.name)
        if match is None or match[3].lower().removeprefix(".") not in PICTURES:
            continue
        width = len(match[2]) if match[2].startswith("0") else 0
        if pattern is not None and path.name != file.name.replace(match[2], pattern[0]):
            continue
        found.setdefault((match[1], width, match[3]), []).append((int(match[2]), file))
    series = _merged(found)
    if not series:
        raise VideoError(f"pictures {path}: no numbered pictures ({', '.join(PICTURES[:4])}, ...) are there")
    if len(series) > 1:
        names = ", ".join(files[0][1].name for files in series.values())
        raise VideoError(f"pictures {path}: several series ({names}); name one by a pattern like frame_%06d.png")
    ((start, width, ending), files) = next(iter(series.items()))
    files.sort()
    numbers = [number for number, _ in files]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise VideoError(f"pictures {path}: {len(missing)} numbers are missing ({shown})")
    name = f"{start.replace('%', '%%')}%{f'0{width}' if width else ''}d{ending}"
    return str(folder / name).replace(str(folder), str(folder).replace("%", "%%"), 1), [file for _, file in files]


def _merged(found: dict[tuple[str, int, str], list[tuple[int, Path]]]) -> dict[tuple[str, int, str], list[Any]]:
    """Return the series, where 1 to 9 belong to 10 and on, and 0009 to 0010."""
    merged: dict[tuple[str, int, str], list[Any]] = {}
    for (start, width, ending), files in sorted(found.items(), key=lambda item: -item[0][1]):
        digits = {len(str(number)) for number, _ in files}
        padded = next((k for k in merged if (k[0], k[2]) == (start, ending) and not width and k[1] in digits), None)
        merged.setdefault(padded or (start, width, ending), []).extend(files)
    return merged

"""Any folder, searched for video files."""

import os
from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing

NAME = "videos"
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "flv", "h264", "hevc", "ivf", "m2ts", "m2v", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "mxf", "nut", "ogv", "ts", "vob", "webm", "wmv", "y4m"),
    )
)


def list_clips(folder: Path) -> Listing:
    """Return every video file under ``folder``; hidden files and folders are left out, links to folders not followed.

    Raises:
        UsageError: There is no video file.
    """
    listing = Listing()

    def note_unreadable(error: OSError) -> None:
        name = _relative(Path(error.filename), folder)
        listing.rejected.append(Rejected(NAME, name, "unreadable", f"folder {name}: {error.strerror}"))

    for root, folders, files in os.walk(folder, onerror=note_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if name.startswith(".") or path.suffix.lower() not in EXTENSIONS:
                continue
            add_file(listing, Clip(NAME, path.relative_to(folder).as_posix(), path))
    if not listing.clips and not listing.rejected:
        raise UsageError(f"{folder} holds no video file ({' '.join(sorted(EXTENSIONS))})")
    return listing


def add_file(listing: Listing, clip: Clip) -> None:
    """Add a clip to a listing, as rejected when its name is not text."""
    try:
        clip.name.encode()
    except UnicodeEncodeError:  # bytes of the file name that are not UTF-8 come as lone surrogates
        name = _printable(clip.name)
        message = f"clip {name}: its name must be UTF-8; rename the file"
        listing.rejected.append(Rejected(clip.source, name, "wrong name", message))
        return
    listing.clips.append(clip)


def _relative(path: Path, folder: Path) -> str:
    return _printable(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()

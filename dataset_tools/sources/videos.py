"""Any folder, searched for video files; or one video file."""

import os
from collections import Counter
from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing

NAME = "videos"
# Files that are no video and that nobody takes for one: not worth a look each.
_OTHER = frozenset(
    f".{name}"
    for name in (
        *("aac", "ac3", "aif", "aiff", "flac", "m4a", "mp3", "oga", "opus", "wav", "wma"),
        *("avif", "bmp", "exr", "heic", "jpeg", "jpg", "png", "psd", "svg", "tga", "tif", "tiff", "webp"),
        *("ass", "csv", "doc", "docx", "htm", "html", "ini", "json", "jsonl", "log", "md", "nfo", "pdf", "py", "srt"),
        *("sub", "tsv", "txt", "vtt", "xml", "yaml", "yml"),
        *(
            "7z",
            "bz2",
            "db",
            "gz",
            "npy",
            "npz",
            "parquet",
            "pt",
            "pth",
            "rar",
            "safetensors",
            "sh",
            "tar",
            "xz",
            "zip",
        ),
    )
)
_NAMED = 6  # kinds of left-out files in the message


def list_clips(path: Path) -> Listing:
    """Return every file under a folder that may be a video, or the one file that ``path`` is.

    Hidden files and folders are left out, links to folders not followed. What is told by its name to be no video is
    counted by kind; everything else is a clip, whatever its extension: whether it can be decoded shows when it is
    opened.

    Raises:
        UsageError: There is no such file.
    """
    listing = Listing()
    if path.is_file():
        add_file(listing, Clip(NAME, path.name, path))
        return listing

    def note_unreadable(error: OSError) -> None:
        name = _relative(Path(error.filename), path)
        listing.rejected.append(Rejected(NAME, name, "unreadable", f"folder {name}: {error.strerror}"))

    left_out: Counter[str] = Counter()
    for root, folders, files in os.walk(path, onerror=note_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(root, name)
            if name.startswith(".") or file.suffix.lower() in _OTHER:
                left_out[file.suffix.lower() if not name.startswith(".") else "hidden"] += 1
            else:
                add_file(listing, Clip(NAME, file.relative_to(path).as_posix(), file))
    if left_out:
        kinds = ", ".join(f"{number} {kind}" for kind, number in left_out.most_common(_NAMED))
        more = f" and {len(left_out) - _NAMED} more kinds" if len(left_out) > _NAMED else ""
        listing.notes.append(f"{path}: left out as no video: {kinds}{more}")
    listing.notes += _doubles(listing.clips)
    if not listing.clips and not listing.rejected:
        raise UsageError(f"{path} holds no video file" + (f" ({listing.notes[0]})" if listing.notes else ""))
    return listing


def _doubles(clips: list[Clip]) -> list[str]:
    """Return a note for every name that is there with two extensions: perhaps one film in two forms."""
    by_stem: dict[str, list[str]] = {}
    for clip in clips:
        by_stem.setdefault(os.path.splitext(clip.name)[0], []).append(clip.name)
    return [
        f"{' and '.join(names)} have one name; if they show the same they stay in one split"
        for names in by_stem.values()
        if len(names) > 1
    ]


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

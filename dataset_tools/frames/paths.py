"""Where a data set keeps its image files: names that can be read, and that no clip name can lead astray."""

import hashlib
import re
from pathlib import PurePosixPath

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
_MAX_PARTS = 4
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no file can have these on Windows


def clip_folder(source: str, clip: str) -> str:
    """Return the folder of a clip's frames, relative to the data set, e.g. ``frames/videos/park/dog.mp4``.

    A name that is no plain file name everywhere (unicode, spaces, ``..``, line breaks, very long) is simplified, and
    gets part of its hash so that it stays unique.
    """
    parts = clip.split("/")
    if len(parts) <= _MAX_PARTS and all(_is_plain(part) for part in parts):
        return str(PurePosixPath("frames", source, *parts))
    simple = re.sub(r"[^A-Za-z0-9_-]+", "_", clip).strip("_-")[:60]
    return str(PurePosixPath("frames", source, f"{simple or 'clip'}~{hashlib.sha256(clip.encode()).hexdigest()[:12]}"))


def frame_path(source: str, clip: str, resolution: str, index: int) -> str:
    """Return the path of a frame's image file, relative to the data set's folder."""
    return f"{clip_folder(source, clip)}/{resolution}/{index:06d}.png"


def _is_plain(part: str) -> bool:
    return bool(_PLAIN.fullmatch(part)) and not _RESERVED.fullmatch(part) and not part.endswith(".")

"""Adobe240: the folder of original high-frame-rate videos, with optional list files.

Two published splits of these videos contradict each other, and neither is official for interpolation; so lists
count only when the user puts them beside the videos.
"""

from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing
from dataset_tools.sources.videos import add_file

NAME = "adobe240"
EXTENSIONS = frozenset((".mov", ".mp4", ".m4v"))  # cameras write .MOV and .MP4, too
_ARCHIVE_FOLDER = "original_high_fps_videos"
_SPLIT_WORDS = (("train", "train"), ("val", "val"), ("test", "test"))


def list_clips(folder: Path) -> Listing:
    """Return the videos of the folder (or of ``original_high_fps_videos`` in it).

    Text files named like ``..._train_list.txt``, ``..._valid_list.txt`` or ``..._test_list.txt`` in either folder
    choose the videos and their splits; their lines are file names, with or without extension.

    Raises:
        UsageError: No video is there, or the lists put one video into two splits.
    """
    inner = folder / _ARCHIVE_FOLDER
    videos = inner if inner.is_dir() else folder
    paths = sorted(path for path in videos.iterdir() if _is_video(path))
    if not paths:
        raise UsageError(f"{videos} holds no Adobe240 video ({' '.join(sorted(EXTENSIONS))})")
    splits = _read_lists(dict.fromkeys((folder, videos)))
    listing = Listing()
    for path in paths:
        named = [splits.pop(entry, None) for entry in (path.name, path.stem)]  # lists of both forms may name it
        split = named[0] or named[1]
        if split or not _has_lists((folder, videos)):
            add_file(listing, Clip(NAME, path.name, path, official_split=split))
    for entry, split in splits.items():
        message = f"clip {entry}: named in a {split} list, but there is no such video in the folder"
        listing.rejected.append(Rejected(NAME, entry, "missing", message))
    return listing


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and not path.is_dir()


def _list_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the list files of a folder with the split each stands for."""
    found = []
    for path in sorted(folder.glob("*list.txt")):
        split = next((split for word, split in _SPLIT_WORDS if word in path.name.lower()), None)
        if split:
            found.append((path, split))
    return found


def _has_lists(folders: tuple[Path, Path]) -> bool:
    return any(_list_files(folder) for folder in folders)


def _read_lists(folders: dict[Path, None]) -> dict[str, str]:
    splits: dict[str, str] = {}
    origin: dict[str, str] = {}
    for folder in folders:
        for path, split in _list_files(folder):
            for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
                entry = line.strip()
                stem = Path(entry).stem if Path(entry).suffix.lower() in EXTENSIONS else entry
                if not entry:
                    continue
                if origin.setdefault(stem, split) != split:
                    raise UsageError(
                        f"Adobe240 video {entry!r} is listed for {origin[stem]} and, in {path.name}, for {split}: "
                        f"published splits contradict each other; keep the lists of one"
                    )
                splits[entry] = split
    return splits

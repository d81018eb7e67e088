"""Vimeo90K: the triplet and the septuplet set, and the test-only archive of the triplet set.

    vimeo_triplet/      tri_trainlist.txt tri_testlist.txt sequences/00001/0001/im1.png .. im3.png
    vimeo_interp_test/                    tri_testlist.txt target/00001/0389/im1.png .. im3.png
    vimeo_septuplet/    sep_trainlist.txt sep_testlist.txt sequences/00001/0001/im1.png .. im7.png

The two sets number their clips independently, so a clip's name starts with the set: ``triplet/00001/0001``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing

NAME = "vimeo90k"
# As the official lists have it, and as tools of others write it: with a folder before, backslashes, a frame's file
# behind, or further columns.
_ENTRY = re.compile(r"(?:(?:\./)?(?:sequences|target|input)/)?(\d{5}/\d{4})(?:/(?:im\d\.png)?)?")
_ARCHIVE_FOLDERS = ("vimeo_triplet", "vimeo_interp_test", "vimeo_septuplet")
_FRAME_FOLDERS = ("sequences", "target")


@dataclass(frozen=True)
class _Layout:
    name: str
    prefix: str
    num_frames: int
    max_interval: int


_LAYOUTS = (_Layout("triplet", "tri", 3, 1), _Layout("septuplet", "sep", 7, 3))


def list_clips(folder: Path) -> Listing:
    """Return the listed clips of a Vimeo90K folder, or of the archive folders inside it.

    Only listed clips count. Empty lines are skipped (the official test list ends with one); other lines that are no
    clip, and listed clips whose frames are missing, are rejected.

    Raises:
        UsageError: No list file, or no folder of frames beside it.
    """
    listing = Listing()
    roots = [root for root in (folder, *(folder / name for name in _ARCHIVE_FOLDERS)) if root.is_dir()]
    found = False
    for root in roots:
        for layout in _LAYOUTS:
            splits = _read_lists(root, layout, listing)
            if splits is None:
                continue
            found = True
            names = {clip.name for clip in listing.clips}
            for entry, split in sorted(splits.items()):
                if f"{layout.name}/{entry}" not in names:  # the test-only archive repeats clips of the full one
                    _add(listing, layout, _frame_folder(root), entry, split)
    if not found:
        raise UsageError(f"{folder} holds no Vimeo90K list file (tri_trainlist.txt, sep_testlist.txt, ...)")
    return listing


def _read_lists(root: Path, layout: _Layout, listing: Listing) -> dict[str, str] | None:
    """Return entry to split of the lists that are there; ``None`` when there is none. A test entry is test only."""
    splits: dict[str, str] | None = None
    for split in ("train", "test"):
        path = root / f"{layout.prefix}_{split}list.txt"
        if not path.is_file():
            continue
        splits = splits if splits is not None else {}
        for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
            entry = line.strip()
            words = re.split(r"[\s,;]+", entry)
            if match := _ENTRY.fullmatch(words[0].replace("\\", "/")):
                splits[match[1]] = split
            elif entry:
                message = f"{path.name} line {number}: entry {entry[:80]!r} must be like '00001/0001'"
                listing.rejected.append(Rejected(NAME, f"{layout.name}/{entry[:80]}", "wrong entry", message))
    return splits


def _frame_folder(root: Path) -> Path:
    for name in _FRAME_FOLDERS:
        if (root / name).is_dir():
            return root / name
    raise UsageError(f"{root} has list files, but neither a folder {' nor '.join(_FRAME_FOLDERS)} with the frames")


def _add(listing: Listing, layout: _Layout, frames: Path, entry: str, split: str) -> None:
    name = f"{layout.name}/{entry}"
    files = tuple(f"im{number}.png" for number in range(1, layout.num_frames + 1))
    path = frames / entry
    missing = [file for file in files if not (path / file).is_file()]
    if missing:
        what = "the folder" if not path.is_dir() else ", ".join(missing)
        listing.rejected.append(Rejected(NAME, name, "missing", f"clip {name}: {what} is missing"))
        return
    listing.clips.append(Clip(NAME, name, path, files, split, layout.max_interval))

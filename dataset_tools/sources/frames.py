"""Image sequences: every folder with numbered pictures is a clip (GoPro, X4K1000FPS, SNU-FILM, extracted Adobe240)."""

import itertools
import os
import re
from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing
from dataset_tools.sources.videos import add_file

NAME = "frames"
EXTENSIONS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))
_NUMBERED = re.compile(r"(.*?)(\d+)(\.[A-Za-z]+)")


def list_clips(folder: Path) -> Listing:
    """Return every series of numbered pictures under a folder, each in the order of its numbers.

    A clip is called by its folder; where that holds several series (``a-001.png``, ``b-001.png``), also by what stands
    before the number. A number that is missing inside a series ends it: the clip is rejected, since frames beside the
    gap are not neighbours.

    Raises:
        UsageError: There is no such series.
    """
    listing = Listing()
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        series: dict[tuple[str, str], dict[int, str]] = {}
        for name in sorted(files):
            match = _NUMBERED.fullmatch(name)
            if match and match[3].lower() in EXTENSIONS and not name.startswith("."):
                series.setdefault((match[1], match[3].lower()), {})[int(match[2])] = name
        place = Path(root)
        base = place.relative_to(folder).as_posix() if place != folder else folder.resolve().name
        for (prefix, extension), numbered in sorted(series.items()):
            label = prefix.strip(" _-.") or extension.lstrip(".")
            name = base if len(series) == 1 else f"{base}/{label}"
            _add(listing, name, place, numbered)
    if not listing.clips and not listing.rejected:
        raise UsageError(f"{folder} holds no numbered pictures ({' '.join(sorted(EXTENSIONS))})")
    return listing


def _add(listing: Listing, name: str, place: Path, numbered: dict[int, str]) -> None:
    numbers = sorted(numbered)
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    for before, after in itertools.pairwise(numbers):
        if after - before != step:
            message = f"clip {name}: {numbered[before]} is followed by {numbered[after]}; split it there in two folders"
            listing.rejected.append(Rejected(NAME, name, "missing", message))
            return
    add_file(listing, Clip(NAME, name, place, tuple(numbered[number] for number in numbers)))

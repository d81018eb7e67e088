"""A source of your own: `--source scenes:FOLDER` after installing this folder.

FOLDER holds a file clips.csv with the columns file and split; files without a split are split by the toolkit.
"""

import csv
from pathlib import Path

from dataset_tools.rejected import Rejected
from dataset_tools.sources import Clip, Listing


def list_clips(folder: Path) -> Listing:
    """Return the clips of the list; a line whose file is missing is turned down alone."""
    listing = Listing()
    with open(folder / "clips.csv", newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            name, path = line["file"], folder / line["file"]
            if path.is_file():
                listing.clips.append(Clip("scenes", name, path, official_split=line["split"] or None))
            else:
                listing.rejected.append(Rejected("scenes", name, "missing", f"clip {name}: no such file in {folder}"))
    return listing

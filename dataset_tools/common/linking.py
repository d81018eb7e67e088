"""Image files of one data set in another: as a second name of the same file where the disk allows it, else copied."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from dataset_tools.common.files import inside


def link_files(relatives: Iterable[str], source: Path, target: Path) -> int:
    """Make files of one folder appear in another under the same relative paths; return how many are missing.

    What is there already stays.

    Raises:
        ManifestError: A path leaves one of the folders.
        OSError: The folder cannot be written to.
    """
    missing = 0
    made: set[Path] = set()
    for relative in relatives:
        original, copy = inside(source, relative), target / relative
        if copy.parent not in made:
            copy.parent.mkdir(parents=True, exist_ok=True)
            made.add(copy.parent)
        inside(target, relative)
        if copy.exists():
            continue
        try:
            os.link(original, copy)
        except FileNotFoundError:
            missing += 1
        except OSError:  # another disk, or one that knows no second names
            unfinished = copy.with_name(f".{copy.name}.tmp")
            shutil.copy2(original, unfinished)
            os.replace(unfinished, copy)
    return missing

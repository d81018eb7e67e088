"""Records in a file, one JSON value per line, appended while a run goes on and read again after a kill."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def whole_lines(lines: Iterable[bytes]) -> tuple[list[Any], int]:
    """Return the values of the lines that were written whole, and how many bytes those lines have.

    A kill cuts the last line off. Whatever follows the first line that is not whole does not count: it was written
    after a fault.
    """
    values, num_bytes = [], 0
    for line in lines:
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            value = None
        if value is None:
            break
        values.append(value)
        num_bytes += len(line)
    return values, num_bytes


def read_json_lines(path: Path) -> list[Any]:
    """Return the values of a file's whole lines; none when there is no file.

    Raises:
        OSError: The file cannot be read.
    """
    if not path.exists():
        return []
    with path.open("rb") as file:
        return whole_lines(file)[0]

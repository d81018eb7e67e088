"""Rows and their pictures in portions of bounded size, the same for every run over the same data set."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.common.files import inside
from dataset_tools.common.parquet import Columns
from dataset_tools.common.remote import File, Folder
from dataset_tools.errors import FrameError
from dataset_tools.frames import read_picture
from dataset_tools.manifest import IMAGE_COLUMNS

MAX_BYTES = 500_000_000  # of pictures in a file: what hubs and loaders like
ROWS_PER_GROUP = 16  # four 1080p pictures a row: 200 MB in memory
_ROWS_AT_ONCE = 1 << 12
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test", None: "unsplit"}


@dataclass(frozen=True)
class Shard:
    """A portion of the rows of one resolution and split.

    Attributes:
        split: As others call it, see ``HUB_SPLITS``.
        number: From 0, within resolution and split.
        start, end: Its rows' places among those of the resolution and split.
    """

    resolution: str
    split: str
    number: int
    start: int
    end: int


Write = Callable[[pa.Table], None]
OpenShard = Callable[[Shard], AbstractContextManager[Write]]


def plan_shards(manifest: Columns, *, max_bytes: int | None = None) -> list[Shard]:
    """Return the portions of a data set, none with more than ``max_bytes`` of pictures unless it is a single row.

    Raises:
        FrameError: An image file is missing.
    """
    limit = MAX_BYTES if max_bytes is None else max_bytes
    shards: list[Shard] = []
    places: dict[tuple[str, str], list[int]] = {}  # start and end of the open portion, its number and bytes
    sizes = _Sizes(manifest.frames)
    for piece in manifest.batches(("resolution", "split", *IMAGE_COLUMNS), rows=_ROWS_AT_ONCE):
        for row in piece.to_pylist():
            key = (row["resolution"] or "none", HUB_SPLITS.get(row["split"], str(row["split"])))
            start, end, number, size = places.get(key, [0, 0, 0, 0])
            added = sum(sizes.of(row[name]) for name in IMAGE_COLUMNS if row[name] is not None)
            if end > start and size + added > limit:
                shards.append(Shard(*key, number, start, end))
                start, number, size = end, number + 1, 0
            places[key] = [start, end + 1, number, size + added]
    shards += [Shard(*key, number, start, end) for key, (start, end, number, _) in places.items()]
    return sorted(shards, key=lambda shard: (shard.resolution, shard.split, shard.number))


class _Sizes:
    """Sizes of image files; neighbouring rows share some."""

    def __init__(self, root: Folder) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of(self, relative: str) -> int:
        if relative not in self._known:
            if len(self._known) > 4 * _ROWS_AT_ONCE:
                self._known.clear()
            path = self._root / relative
            try:
                self._known[relative] = path.stat().st_size if isinstance(path, Path) else path.size()
            except OSError as error:
                raise _missing(path, error) from error
        return self._known[relative]


def write_shards(manifest: Columns, shards: Sequence[Shard], columns: Sequence[str], *, open_shard: OpenShard) -> None:
    """Write portions in one pass over the manifest: as many are open at a time as there are resolutions and splits.

    Args:
        shards: Of ``plan_shards``; those that are left out are passed over.
        columns: What is written of each row.
        open_shard: Gives a portion's file as a function that takes small tables; the file is whole when the context
            ends without an error, and not there when it ends with one.

    Raises:
        FrameError: An image file is missing.
    """
    waiting: dict[tuple[str, str], deque[Shard]] = {}
    for shard in sorted(shards, key=lambda shard: shard.start):
        waiting.setdefault((shard.resolution, shard.split), deque()).append(shard)
    opened: dict[tuple[str, str], tuple[ExitStack, Write]] = {}
    places = dict.fromkeys(waiting, 0)  # of the next row of a resolution and split
    needed = dict.fromkeys(("resolution", "split", *columns))
    with ExitStack() as everything:
        for piece in manifest.batches(list(needed), rows=_ROWS_AT_ONCE) if waiting else ():
            for key, rows in _by_key(piece, list(waiting)):
                while waiting[key] and (shard := waiting[key][0]).start < places[key] + len(rows):
                    if key not in opened:
                        stack = everything.enter_context(ExitStack())
                        opened[key] = stack, stack.enter_context(open_shard(shard))
                    low, high = max(shard.start - places[key], 0), min(shard.end - places[key], len(rows))
                    for start in range(low, high, ROWS_PER_GROUP):
                        opened[key][1](rows.slice(start, min(ROWS_PER_GROUP, high - start)).select(list(columns)))
                    if shard.end > places[key] + len(rows):
                        break  # it goes on in the next piece
                    opened.pop(key)[0].close()
                    waiting[key].popleft()
                places[key] += len(rows)


def _by_key(piece: pa.Table, keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], pa.Table]]:
    """Yield the rows of each resolution and split."""
    resolutions = pc.fill_null(piece.column("resolution").cast(pa.string()), "none")
    splits = pa.array([HUB_SPLITS.get(name, str(name)) for name in piece.column("split").to_pylist()], pa.string())
    for key in keys:
        rows = piece.filter(pc.and_(pc.equal(resolutions, key[0]), pc.equal(splits, key[1])))
        if len(rows):
            yield key, rows


def read_pictures(root: Folder, row: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return the image files of a row, unchanged; ``None`` for a prediction that does not exist.

    Raises:
        FrameError: One is missing.
    """
    pictures: dict[str, dict[str, Any] | None] = {}
    for column in IMAGE_COLUMNS:
        if row[column] is None:
            pictures[column] = None
            continue
        pictures[column] = {"bytes": read_picture(inside(root, row[column])), "path": row[column]}
    return pictures


def _missing(path: File, error: OSError) -> FrameError:
    return FrameError(f"{path}: {error.strerror or 'cannot be read'}; run dataset_tools.verify to see all faults")

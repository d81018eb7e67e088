"""What was turned down and why: ``rejected.parquet`` beside the manifest."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from dataset_tools.common.files import atomic_writer

DEFAULT_NAME = "rejected.parquet"
_COLUMNS = {
    "source": "string",
    "clip": "string",
    "img0_index": "int64",
    "gt_index": "int64",
    "img1_index": "int64",
    "reason": "string",
    "message": "string",
    "numbers": "string",
}


@dataclass(frozen=True)
class Rejected:
    """A clip (indices are ``None``) or one triplet of it that is not used.

    Attributes:
        reason: Of a clip ``missing``, ``wrong entry``, ``wrong name``, ``unreadable``, ``time limit``, ``crash``,
            ``too short``, ``too small``, ``same file`` or ``changed``; of a triplet
            what ``dataset_tools.video.cuts`` found.
        message: One line for people.
        numbers: The measurements behind it, as a JSON object.
    """

    source: str
    clip: str
    reason: str
    message: str
    img0_index: int | None = None
    gt_index: int | None = None
    img1_index: int | None = None
    numbers: str = "{}"


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write ``rejected`` atomically as Parquet, sorted by clip and index; an unchanged file is left alone."""
    import pyarrow as pa  # not at the top: decoding workers only need Rejected, and start sooner without
    import pyarrow.parquet as pq

    listed = sorted(rejected, key=lambda item: (item.source, item.clip, item.img0_index or 0, item.img1_index or 0))
    table = pa.Table.from_pylist([asdict(item) for item in listed], schema=pa.schema(list(_COLUMNS.items())))
    if path.exists() and read_rejected(path) == [asdict(item) for item in listed]:
        return
    with atomic_writer(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_rejected(path: Path) -> list[dict[str, object]]:
    """Return the rows of a ``rejected.parquet``; empty when the file is damaged, since it can be made again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read().to_pylist()
    except (pa.ArrowException, OSError):
        return []

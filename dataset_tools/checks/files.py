"""Image files against what the manifest claims of them: there, whole, of the right size, with the right pixels."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.checks.hashing import hash_strings
from dataset_tools.checks.pixels import MAX_FRAME_DIFFERENCE, MAX_PREDICTION_DIFFERENCE, block_difference
from dataset_tools.checks.rows import Row
from dataset_tools.common.cluster import Cluster, LostError, as_typed
from dataset_tools.common.cores import num_cores
from dataset_tools.common.files import inside
from dataset_tools.common.parquet import Columns
from dataset_tools.common.progress import Progress
from dataset_tools.common.remote import Folder
from dataset_tools.errors import VfiError
from dataset_tools.frames import pixels_sha256, read_image
from dataset_tools.manifest import IMAGE_COLUMNS

Use = tuple[Row, str]  # an image file: the row that names it first, and the column
_FILES_AT_ONCE = 4096
_FILES_PER_TASK = 256


@dataclass(frozen=True)
class Finding:
    """What is to be said about an image file.

    Attributes:
        file: Relative to the data set's folder.
        column: That names it.
        is_accepted: It differs by no more than another machine's rounding.
        text: One line.
    """

    file: str
    column: str
    is_accepted: bool
    text: str


def check_files(
    manifest: Columns, *, progress: Progress, cluster: Cluster | None = None, only: Collection[str] | None = None
) -> list[Finding]:
    """Read the image files of a manifest and return what is to be said of them, in the manifest's order.

    Args:
        cluster: Of machines that read them; this one by default.
        only: Paths of the files to read; by default all.
    """
    uses = (use for use in _first_uses(manifest) if only is None or use[0][use[1]] in only)
    if cluster is None:
        return list(_check_here(uses, manifest.frames, progress))
    found: list[tuple[int, list[Finding]]] = []
    numbered = enumerate(iter(lambda: list(itertools.islice(uses, _FILES_PER_TASK)), []))
    root = manifest.frames.absolute()
    tasks = (((number, block), (block, root)) for number, block in numbered)
    for (number, block), said in cluster.run(check_block, tasks):
        answers = [(False, str(said))] * len(block) if isinstance(said, LostError) else said
        found.append((number, list(_findings(block, answers, manifest.frames))))
        progress.advance(len(block))
    return [finding for _, findings in sorted(found, key=lambda pair: pair[0]) for finding in findings]


def _check_here(uses: Iterator[Use], root: Folder, progress: Progress) -> Iterator[Finding]:
    with ThreadPoolExecutor(num_cores()) as pool:
        while block := list(itertools.islice(uses, _FILES_AT_ONCE)):
            for use, said in zip(block, pool.map(lambda use: _check_file(root, *use), block), strict=True):
                yield from _findings([use], [said], root)
                progress.advance()


def check_block(uses: Sequence[Use], root: Folder) -> list[tuple[bool, str | None]]:
    """Return for each image file whether it is accepted, and what is to be said about it."""
    return [_check_file(root, *use) for use in uses]


def _findings(uses: Sequence[Use], answers: Sequence[tuple[bool, str | None]], root: Folder) -> Iterator[Finding]:
    for (row, column), (is_accepted, said) in zip(uses, answers, strict=True):
        if said is not None:
            text = f"{row['triplet_id']}: {column} {row[column]}: {as_typed(said, root)}"
            yield Finding(row[column], column, is_accepted, text)


def _first_uses(manifest: Columns) -> Iterator[Use]:
    """Yield every image file once, as the row that names it first and the column."""
    seen: set[int] = set()
    columns = [f"{name}{part}" for name in IMAGE_COLUMNS for part in ("", "_sha256", "_fingerprint")]
    for piece in manifest.batches(["triplet_id", "width", "height", *columns]):
        for name in IMAGE_COLUMNS:
            there = piece.filter(pc.is_valid(piece.column(name)))
            keys = hash_strings(there.column(name).combine_chunks()).tolist()
            is_new = [key not in seen and not seen.add(key) for key in keys]  # type: ignore[func-returns-value]
            for row in there.filter(pa.array(is_new, pa.bool_())).to_pylist():
                yield row, name


def _check_file(root: Folder, row: Row, column: str) -> tuple[bool, str | None]:
    """Return whether an image file is accepted, and what is to be said about it."""
    try:
        image = read_image(inside(root, row[column]))
        if image.shape[:2] != (row["height"], row["width"]):
            return False, f"is {image.shape[1]}x{image.shape[0]}, must be {row['width']}x{row['height']}"
        if row[f"{column}_sha256"] is None:
            return False, "has no hash in the manifest"
        if pixels_sha256(image) == row[f"{column}_sha256"]:
            return True, None
        difference = block_difference(row[f"{column}_fingerprint"], image)
    except VfiError as error:
        return False, str(error)
    if difference is None:
        return False, "pixels differ from the manifest's hash, and it has no fingerprint to tell by how much"
    return difference.judge(MAX_PREDICTION_DIFFERENCE if column == "pred" else MAX_FRAME_DIFFERENCE)

"""What must hold in a manifest, seen from its rows alone: pure rules, one line of text per fault."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.levels import LEVELS, is_on_scale
from dataset_tools.sampling.splits import SPLITS

Row = Mapping[str, Any]
_NEEDED = ("source", "clip", "resolution", "width", "height", "img0", "gt", "img1", "interval", "split")
_PREDICTION = ("pred", "pred_sha256", "predictor", "predictor_sha256")
_SHOWN = 3  # triplets named in one fault


def check_rows(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the faults of single rows: missing values, indices, sizes, levels, half a prediction."""
    for row in rows:
        for fault in _row_faults(row):
            yield f"{row['triplet_id']}: {fault}"


def check_splits(rows: Sequence[Row]) -> Iterator[str]:
    """Yield every clip that is in several splits: by its name, or by its content under other names."""
    for title, key in (
        ("clip", lambda row: f"{row['source']}/{row['clip']}"),
        ("clips with sha256", lambda row: row["clip_sha256"]),
    ):
        splits: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for row in rows:
            if key(row) and row["split"]:
                splits[key(row)][row["split"]].add(f"{row['source']}/{row['clip']}")
        for name, found in sorted(splits.items()):
            names = set().union(*found.values())
            if len(found) > 1 and (title == "clip" or len(names) > 1):
                named = "" if title == "clip" else f" ({', '.join(sorted(names)[:_SHOWN])})"
                yield f"{title} {name}{named} must be in one split, found in {', '.join(sorted(found))}"


def check_duplicates(rows: Sequence[Row]) -> Iterator[str]:
    """Yield triplets of one resolution that hold the same three pictures, and files that serve two purposes."""
    same: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    hashes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        pictures = tuple(row[f"{column}_sha256"] for column in ("img0", "gt", "img1"))
        if None not in pictures:
            same[row["resolution"], *pictures].append(row["triplet_id"])
        for column in ("img0", "gt", "img1", "pred"):
            if row[column] is not None and row[f"{column}_sha256"] is not None:
                hashes[row[column]].add(row[f"{column}_sha256"])
    for ids in same.values():
        if len(ids) > 1:
            yield f"{len(ids)} triplets hold the same pictures: {', '.join(ids[:_SHOWN])}"
    for path, found in sorted(hashes.items()):
        if len(found) > 1:
            yield f"file {path} has {len(found)} different hashes in the manifest"


def _row_faults(row: Row) -> Iterator[str]:
    missing = [column for column in _NEEDED if row[column] is None]
    if missing:
        yield f"{', '.join(missing)} must not be null"
        return
    indices = [row[f"{column}_index"] for column in ("img0", "gt", "img1")]
    if None in indices or indices[1] - indices[0] != row["interval"] or indices[2] - indices[1] != row["interval"]:
        yield f"indices {indices} must be {row['interval']} (interval) apart"
    if row["resolution"] not in RESOLUTION_HEIGHTS:
        yield f"resolution {row['resolution']!r} must be one of {', '.join(RESOLUTION_HEIGHTS)}"
    elif row["height"] != RESOLUTION_HEIGHTS[row["resolution"]]:
        yield f"height {row['height']} must be that of {row['resolution']}"
    if row["native_height"] is not None and (
        row["native_height"] < row["height"] or (row["native_width"] or row["width"]) < row["width"]
    ):
        yield f"{row['width']}x{row['height']} is larger than the source, {row['native_width']}x{row['native_height']}"
    if row["split"] not in SPLITS:
        yield f"split {row['split']!r} must be one of {', '.join(SPLITS)}"
    yield from _label_faults(row)


def _label_faults(row: Row) -> Iterator[str]:
    there = [column for column in _PREDICTION if row[column] is not None]
    if there and len(there) < len(_PREDICTION):
        yield f"half a prediction: only {', '.join(there)} is there"
    if (row["level"] is None) != (row["level_source"] is None):
        yield f"level {row['level']} and level_source {row['level_source']} must be both there or both null"
    if row["level"] is not None and not is_on_scale(row["level"]):
        yield f"level {row['level']} must be in 1..4"
    if row["level_source"] not in (None, "human", "proxy"):
        yield f"level_source {row['level_source']!r} must be human or proxy"
    votes = [vote for vote in row["votes"] or [] if vote is not None]
    if len(votes) < len(row["votes"] or []):
        yield "a vote must not be null"
    if any(vote["level"] not in LEVELS for vote in votes):
        yield "a vote's level must be in 1..4"
    voters = [vote["annotator"] for vote in votes]
    if len(set(voters)) < len(voters):
        yield "an annotator has voted twice"

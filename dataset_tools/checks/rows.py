"""What must hold in a manifest, seen from its rows alone: one line of text per fault.

Rows are looked at as columns, in pieces. A rule stands here twice: as a mask over columns that lets sound rows pass
quickly, and in words for the few rows that the mask holds back, which decide whether there is a fault.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.checks.hashing import first_64_bits, hash_strings, mix
from dataset_tools.common.parquet import Columns
from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.levels import LEVELS, is_on_scale
from dataset_tools.manifest import IMAGE_COLUMNS
from dataset_tools.sampling.splits import SPLITS

Row = Mapping[str, Any]
_NEEDED = ("source", "clip", "resolution", "width", "height", "img0", "gt", "img1", "interval", "split")
_PREDICTION = ("pred", "pred_sha256", "predictor", "predictor_sha256")
_FRAMES = ("img0", "gt", "img1")
_COLUMNS = (
    "triplet_id",
    *_NEEDED,
    *(f"{frame}_index" for frame in _FRAMES),
    "native_width",
    "native_height",
    *_PREDICTION,
    "level",
    "level_source",
    "votes",
)
_SHOWN = 3  # triplets named in one fault


def check_rows(manifest: Columns) -> Iterator[str]:
    """Yield the faults of single rows: missing values, indices, sizes, levels, half a prediction; repeated ids."""
    last = ""
    for piece in manifest.batches(_COLUMNS):
        for row in piece.filter(suspicious(piece)).to_pylist():
            for fault in _row_faults(row):
                yield f"{row['triplet_id']}: {fault}"
        ids = piece.column("triplet_id").combine_chunks()
        repeated = pc.equal(pa.concat_arrays([pa.array([last]), ids])[:-1], ids)
        yield from (f"{name}: triplet_id must be unique, found twice" for name in ids.filter(repeated).to_pylist())
        last = ids[-1].as_py() if len(ids) else last


def suspicious(piece: pa.Table) -> pa.Array:
    """Return which rows may have a fault: every row that has one is among them."""
    column = piece.column
    names = {name: column(name).cast(pa.string()) for name in ("resolution", "split", "level_source")}
    heights = pc.choose(
        pc.fill_null(pc.index_in(names["resolution"], value_set=pa.array(list(RESOLUTION_HEIGHTS))), 0),
        *(pa.scalar(height, pa.int32()) for height in RESOLUTION_HEIGHTS.values()),
    )
    interval = column("interval").cast(pa.int64())
    level, given = column("level"), pc.is_valid(column("level"))
    predicted = [pc.is_valid(column(name)) for name in _PREDICTION]
    bad = [
        *(pc.is_null(column(name)) for name in _NEEDED),
        pc.not_equal(pc.subtract(column("gt_index"), column("img0_index")), interval),
        pc.not_equal(pc.subtract(column("img1_index"), column("gt_index")), interval),
        pc.invert(pc.is_in(names["resolution"], value_set=pa.array(list(RESOLUTION_HEIGHTS)))),
        pc.not_equal(column("height"), heights),
        pc.less(pc.coalesce(column("native_height"), column("height")), column("height")),
        pc.less(pc.coalesce(column("native_width"), column("width")), column("width")),
        pc.invert(pc.is_in(names["split"], value_set=pa.array(SPLITS))),
        *(pc.not_equal(predicted[0], other) for other in predicted[1:]),
        pc.not_equal(given, pc.is_valid(column("level_source"))),
        pc.invert(pc.is_in(names["level_source"], value_set=pa.array(["human", "proxy", None]))),
        pc.and_(given, pc.invert(pc.and_(pc.greater_equal(level, LEVELS[0]), pc.less_equal(level, LEVELS[-1])))),
    ]
    result = pa.chunked_array([_bad_votes(column("votes").combine_chunks())])
    for mask in bad:
        result = pc.or_(result, pc.fill_null(mask, True))
    return result.combine_chunks()


def _bad_votes(votes: pa.Array) -> pa.Array:
    """Return which rows have a vote that is null or off the scale, or two of one annotator."""
    rows = pc.list_parent_indices(votes)
    flat = pc.list_flatten(votes)
    levels = flat.field("level")
    bad = np.zeros(len(votes), bool)
    is_bad = pc.or_(pc.is_null(flat), pc.invert(pc.is_in(levels, value_set=pa.array(LEVELS, levels.type))))
    bad[rows.filter(pc.fill_null(is_bad, True)).to_numpy()] = True
    voters = pa.table({"row": rows, "annotator": flat.field("annotator")})
    counts = voters.group_by(["row", "annotator"]).aggregate([([], "count_all")])
    bad[counts.filter(pc.greater(counts.column("count_all"), 1)).column("row").to_numpy()] = True
    return pa.array(bad)


def check_duplicates(manifest: Columns) -> Iterator[str]:
    """Yield triplets of one resolution that hold the same three pictures, and files that serve two purposes."""
    pictures, files, hashes = [], [], []
    names = ("resolution", *IMAGE_COLUMNS, *(f"{column}_sha256" for column in IMAGE_COLUMNS))
    for piece in manifest.batches(names):
        pictures.append(_picture_keys(piece))
        for column in IMAGE_COLUMNS:
            path, sha256 = (piece.column(name).combine_chunks() for name in (column, f"{column}_sha256"))
            keep = pc.and_(pc.is_valid(path), pc.fill_null(pc.equal(pc.binary_length(sha256), 64), False))
            both = np.stack([hash_strings(path.filter(keep)), first_64_bits(sha256.filter(keep))], axis=1)
            _, once = np.unique(both[:, 0] ^ mix(both[:, 1]), return_index=True)
            files.append(both[once, 0])
            hashes.append(both[once, 1])
    if not pictures:
        return
    if len(twice := _repeated(np.concatenate(pictures))):
        yield from _same_pictures(manifest, names, twice)
    path_keys, of_path = np.concatenate(files), np.concatenate(hashes)
    different = np.unique(path_keys ^ mix(of_path), return_index=True)[1]
    if len(torn := _repeated(path_keys[different])):
        yield from _torn_files(manifest, names, torn)


def count_files(manifest: Columns) -> int:
    """Return how many different image files a manifest names."""
    keys = [np.empty(0, np.uint64)]
    for piece in manifest.batches(IMAGE_COLUMNS):
        for name in IMAGE_COLUMNS:
            keys.append(np.unique(hash_strings(piece.column(name).drop_null().combine_chunks())))
    return len(np.unique(np.concatenate(keys)))


def _picture_keys(piece: pa.Table) -> npt.NDArray[np.uint64]:
    """Return a number for each row's resolution and three pictures; 0 where a hash is missing."""
    columns = [piece.column(f"{name}_sha256").combine_chunks() for name in _FRAMES]
    is_whole = np.ones(len(piece), bool)
    for column in columns:
        is_whole &= pc.fill_null(pc.equal(pc.binary_length(column), 64), False).to_numpy(zero_copy_only=False)
    whole = pa.array(is_whole)
    tiers = pc.fill_null(piece.column("resolution").combine_chunks().cast(pa.string()), "").filter(whole)
    keys = hash_strings(tiers)
    for column in columns:
        keys = mix(keys ^ first_64_bits(column.filter(whole)))
    result = np.zeros(len(piece), np.uint64)
    result[is_whole] = keys
    return result


def _repeated(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    ordered = np.sort(keys)
    found = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return found[found != 0]


def _same_pictures(manifest: Columns, names: tuple[str, ...], twice: npt.NDArray[np.uint64]) -> Iterator[str]:
    same: dict[tuple[Any, ...], list[str]] = {}
    for piece in manifest.batches(("triplet_id", *names)):
        for row in piece.filter(pa.array(np.isin(_picture_keys(piece), twice))).to_pylist():
            key = (row["resolution"], *(row[f"{name}_sha256"] for name in _FRAMES))
            same.setdefault(key, []).append(row["triplet_id"])
    for ids in same.values():
        if len(ids) > 1:
            yield f"{len(ids)} triplets hold the same pictures: {', '.join(ids[:_SHOWN])}"


def _torn_files(manifest: Columns, names: tuple[str, ...], torn: npt.NDArray[np.uint64]) -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for piece in manifest.batches(names):
        for column in IMAGE_COLUMNS:
            both = piece.select([column, f"{column}_sha256"]).drop_null().combine_chunks()
            chosen = both.filter(pa.array(np.isin(hash_strings(both.column(0).combine_chunks()), torn)))
            for row in chosen.to_pylist():
                found.setdefault(row[column], set()).add(row[f"{column}_sha256"])
    for path, hashes in sorted(found.items()):
        if len(hashes) > 1:
            yield f"file {path} has {len(hashes)} different hashes in the manifest"


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

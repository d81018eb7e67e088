"""The manifest: one Parquet row per triplet and resolution. Schema, reading, writing, safe paths."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_tools.common.files import atomic_writer, inside
from dataset_tools.common.ids import by_id, check_ids
from dataset_tools.common.parquet import ROWS_PER_GROUP, Described, find_parts, open_part, write_partitioned
from dataset_tools.common.remote import File, Folder, marked_frames, parse_folder
from dataset_tools.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = "1.4"  # major.minor: a reader refuses a newer major version
DEFAULT_NAME = "data_manifest.parquet"
IMAGE_COLUMNS = ("img0", "gt", "img1", "pred")
FRAMES_ROOT = "frames_root"  # key of the metadata: a URL or an absolute folder, where image files lie elsewhere

_FLOW = {"optical_flow": "OpenCV DIS, medium preset"}  # such measures differ with it
_CATEGORY = pa.dictionary(pa.int32(), pa.string())
VOTE = pa.struct(
    [
        ("annotator", pa.string()),
        ("level", pa.int8()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float32()),
        ("flagged", pa.bool_()),
    ]
)
SCHEMA = pa.schema(
    [
        ("triplet_id", pa.string()),
        ("source", _CATEGORY),
        ("clip", pa.string()),
        ("clip_sha256", pa.string()),
        ("resolution", _CATEGORY),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("native_width", pa.int32()),
        ("native_height", pa.int32()),
        ("img0_index", pa.int64()),
        ("gt_index", pa.int64()),
        ("img1_index", pa.int64()),
        ("img0_pts", pa.float64()),
        ("gt_pts", pa.float64()),
        ("img1_pts", pa.float64()),
        ("interval", pa.int32()),
        ("img0", pa.string()),
        ("gt", pa.string()),
        ("img1", pa.string()),
        ("pred", pa.string()),
        ("img0_sha256", pa.string()),
        ("gt_sha256", pa.string()),
        ("img1_sha256", pa.string()),
        ("pred_sha256", pa.string()),
        ("predictor", pa.string()),
        ("predictor_sha256", pa.string()),
        ("pred_psnr", pa.float32()),
        ("pred_ssim", pa.float32()),
        ("pred_lpips", pa.float32()),
        ("inputs_lpips", pa.float32()),
        ("motion", pa.float32()),
        ("split", _CATEGORY),
        ("level", pa.float32()),
        ("level_source", _CATEGORY),
        ("num_annotations", pa.int32()),
        ("votes", pa.list_(VOTE)),
        ("img0_fingerprint", pa.binary()),  # see frames.fingerprint
        ("gt_fingerprint", pa.binary()),
        ("img1_fingerprint", pa.binary()),
        ("pred_fingerprint", pa.binary()),
        # Of an accurate interpolator on the same pair (``predict --as accurate``); it keeps no image. Since 1.1.
        ("accurate_predictor", pa.string()),
        ("accurate_predictor_sha256", pa.string()),
        ("accurate_psnr", pa.float32()),
        ("accurate_lpips", pa.float32()),
        ("accurate_gain", pa.list_(pa.float32())),  # error it removes from ``pred``, see gains.error_removed
        # Of the clip, since 1.2:
        ("clip_group", pa.string()),  # clips that show the same recording; a split is a function of it
        ("frame_rate", pa.float64()),  # per second, by the container
        ("field_order", _CATEGORY),  # progressive, tff, bff or telecined; null when nothing is known
        ("transfer", _CATEGORY),  # FFmpeg's names: bt709, smpte2084 (PQ), arib-std-b67 (HLG), ...
        ("pixel_aspect", pa.float64()),  # width over height of a pixel of the clip; stored frames have square ones
        ("bit_depth", pa.int32()),
        ("codec", _CATEGORY),
        ("decoder", _CATEGORY),  # and its version
        # From people who compared this prediction with others of the same triplet, since 1.3:
        ("score_pairs", pa.float32()),  # Bradley-Terry, log-odds against their mean; higher is worse
        ("score_pairs_low", pa.float32()),  # of its interval of 95 %
        ("score_pairs_high", pa.float32()),
        ("num_pairs", pa.int32()),  # answers behind it
        # Of ``pred`` (``predict --as measures``), since 1.4; see prediction.motion_measures:
        pa.field("pred_flolpips", pa.float32(), metadata=_FLOW),
        pa.field("pred_psnr_div", pa.float32(), metadata=_FLOW),
    ]
)
CLIP_COLUMNS = ("frame_rate", "field_order", "transfer", "pixel_aspect", "bit_depth", "codec", "decoder")


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory: every column of ``SCHEMA`` in order, then unknown ones, sorted by ``triplet_id``.

    Attributes:
        path: The Parquet file; image paths are relative to its folder.
        metadata: Parquet metadata: ``schema_version``, ``created_by``, ``extraction`` (JSON), ``seed``, and others.
    """

    path: Path
    table: pa.Table
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The data set's folder: that of the manifest."""
        return self.path.parent

    @cached_property
    def frames(self) -> Folder:
        """Where the image files lie, which no path of the manifest may leave; see ``frames_folder``."""
        return frames_folder(self)

    def __len__(self) -> int:
        return self.table.num_rows

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries, in ``triplet_id`` order; times of votes are UTC datetimes."""
        return self.table.to_pylist()

    def batches(
        self, columns: Sequence[str], *, where: pc.Expression | None = None, rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.Table]:
        """Yield the named columns in pieces, as ``dataset_tools.columns.file.ManifestFile.batches`` does."""
        chosen = conform(self.table, self.path, columns=columns)
        for start in range(0, len(chosen), rows):
            piece = chosen.slice(start, rows)
            yield piece if where is None else piece.filter(where)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the rows as a DataFrame (categories as ``category``)."""
        return self.table.to_pandas()

    def file(self, row: Mapping[str, Any], column: str) -> File:
        """Return the path of a row's image file.

        Raises:
            ManifestError: The row has no such file, or its path leaves the data set's folder.
        """
        relative = row[column]
        if relative is None:
            raise ManifestError(f"triplet {row['triplet_id']} has no {column}; run dataset_tools.predict first")
        return inside(self.frames, relative)

    def with_columns(self, columns: Mapping[str, Sequence[Any]]) -> "Manifest":
        """Return a copy whose named columns hold these values, one per row in order (new columns come last)."""
        table = self.table
        for name, values in columns.items():
            known = SCHEMA.field(name) if name in SCHEMA.names else None
            if not isinstance(values, pa.Array | pa.ChunkedArray):
                values = pa.array(values, type=None if known is None else known.type)
            column = name if known is None or known.type != values.type else known  # with its metadata
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), column, values)
            else:
                table = table.append_column(column, values)
        return replace(self, table=table)

    def write(self, path: Path | None = None) -> None:
        """Write the manifest to ``path`` (its own path by default): a file, atomically, or each file of a folder."""
        path = path or self.path
        metadata = {"created_by": created_by(), **self.metadata, "schema_version": SCHEMA_VERSION}
        table = by_id(conform(self.table, self.path)).replace_schema_metadata(metadata)
        if path.is_dir():
            write_partitioned(path, table)
            return
        with atomic_writer(path) as file:
            pq.write_table(table, file, compression="zstd", row_group_size=ROWS_PER_GROUP)


def created_by() -> str:
    """Return the writer's name and version for the manifest's metadata."""
    from dataset_tools import __version__

    return f"vfi-difficulty {__version__}"


def from_rows(path: Path, rows: Iterable[Mapping[str, Any]], *, metadata: Mapping[str, str] | None = None) -> Manifest:
    """Return a manifest of ``rows`` (missing columns are null), sorted by ``triplet_id``; nothing is written.

    Raises:
        ManifestError: Two rows share a ``triplet_id``, or a value does not fit its column.
    """
    try:
        table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ManifestError(f"a row does not fit the manifest's schema: {error}") from error
    return from_table(path, table, metadata=metadata)


def from_table(path: Path, table: pa.Table, *, metadata: Mapping[str, str] | None = None) -> Manifest:
    """Return a manifest of rows as columns, of the schema's types, sorted by ``triplet_id``; nothing is written.

    It is the same, as a file byte for byte, in whatever order and however many pieces the rows came.

    Raises:
        ManifestError: Two rows share a ``triplet_id``.
    """
    table = by_id(table).combine_chunks()
    for place, field_ in enumerate(table.schema):
        if pa.types.is_dictionary(field_.type):  # or the order of the categories would tell that of the pieces
            column = table.column(place).cast(field_.type.value_type).dictionary_encode()
            table = table.set_column(place, field_, column.cast(field_.type))
    check_ids(path, table.column("triplet_id"))
    return Manifest(path, table.replace_schema_metadata(None), dict(metadata or {}))


def read_manifest(path: Path, *, root: Path | None = None) -> Manifest:
    """Return the manifest stored at ``path``, all of it in memory; see ``dataset_tools.columns.file`` for large ones.

    Columns missing from an older file are filled with null, unknown ones are kept. Image paths are checked by rule;
    no image file or folder is touched.

    Args:
        path: A Parquet file, a folder of them (partitioned), or the folder that holds ``data_manifest.parquet``.
        root: The data set's folder where it is not the one that holds ``path``.

    Raises:
        ManifestError: No such file, not Parquet, a newer major ``schema_version``, a column of a wrong type
            or there twice, a null or repeated ``triplet_id``, or an image path that leaves the folder.
    """
    path = resolve(path)
    tables = []
    for part in find_parts(path):
        with open_part(part) as file:
            check_header(file.schema_arrow, part)
            try:
                tables.append(file.read())
            except (pa.ArrowException, OSError) as error:
                raise ManifestError(f"manifest {part} is not a readable Parquet file: {error}") from error
    metadata = metadata_of(tables[0].schema)
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    pieces = [conform(table, path, root=root or path.parent, extra=names) for table in tables]
    table = pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces, promote_options="permissive")
    table = by_id(table.unify_dictionaries())
    check_ids(path, table.column("triplet_id"))
    return Manifest(path, table, metadata)


def resolve(path: Path) -> Path:
    """Return the manifest that a path means: itself, or ``data_manifest.parquet`` in a folder that holds one."""
    inner = path / DEFAULT_NAME
    return inner if path.is_dir() and inner.exists() else path


def metadata_of(schema: pa.Schema) -> dict[str, str]:
    """Return the Parquet metadata of a manifest as text."""
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (schema.metadata or {}).items()
        if key not in (b"ARROW:schema", b"pandas")
    }


def check_header(schema: pa.Schema, path: Path) -> None:
    """Check what can be known of a manifest without its rows: version and names of columns.

    Raises:
        ManifestError: A newer major version, a name twice, or no ``triplet_id``.
    """
    _check_version(path, metadata_of(schema).get("schema_version"))
    if double := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise ManifestError(f"manifest {path}: column {double[0]!r} must be there once, found more often")
    if "triplet_id" not in schema.names:
        raise ManifestError(f"manifest {path} has no column triplet_id: it is not a triplet manifest")


def frames_folder(manifest: Described) -> Folder:
    """Return the folder of a manifest's image files: what its metadata says, by default the folder it lies in.

    Raises:
        ManifestError: The metadata says no such place, or a local folder that is not marked as one of frames.
        RemoteError: It is at a URL that cannot be reached.
    """
    stated = manifest.metadata.get(FRAMES_ROOT)
    return manifest.path.parent if stated is None else marked_frames(parse_folder(stated))


def extraction_options(manifest: Described) -> dict[str, Any]:
    """Return the resolved options of the extraction that made the manifest; empty when not recorded."""
    try:
        options = json.loads(manifest.metadata.get("extraction", "{}"))
    except json.JSONDecodeError as error:
        raise ManifestError(f"manifest {manifest.path}: metadata key extraction is not JSON: {error}") from error
    return options if isinstance(options, dict) else {}


def conform(
    table: pa.Table,
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    root: Path | None = None,
    extra: Sequence[str] = (),
) -> pa.Table:
    """Return ``table`` with the schema's columns first, typed as the schema says, then the unknown ones.

    Args:
        path: For messages.
        columns: Only these, in this order; those that are missing are null.
        root: Check that no image path leaves this folder.
        extra: Unknown columns that must be there, if only as null.

    Raises:
        ManifestError: A column has a wrong type, or a path is not acceptable.
    """
    others = [name for name in dict.fromkeys((*table.column_names, *extra)) if name not in SCHEMA.names]
    names = list(columns) if columns is not None else [*SCHEMA.names, *others]
    arrays, fields = [], []
    for name in names:
        known = SCHEMA.field(name) if name in SCHEMA.names else None
        if name not in table.column_names:
            kind = known.type if known is not None else pa.null()
            arrays.append(pa.chunked_array([pa.nulls(table.num_rows, kind)]))
            fields.append(known if known is not None else pa.field(name, kind))
            continue
        array = table.column(name)
        if known is not None and array.type != known.type:
            try:
                array = _cast(array, known.type)
            except pa.ArrowException as error:
                fault = f"column {name} has the wrong type {array.type}, must be {known.type}: {error}"
                raise ManifestError(f"manifest {path}: {fault}") from error
        if root is not None and name in IMAGE_COLUMNS:
            _check_paths(array, root)
        arrays.append(array)
        fields.append(known if known is not None else table.schema.field(name))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields)).unify_dictionaries()


def _check_paths(paths: pa.ChunkedArray, root: Path) -> None:
    """Check image paths by rule; whether a link leads elsewhere shows when a file is opened (``files.inside``)."""
    bad = pc.or_(pc.equal(pc.binary_length(paths), 0), pc.starts_with(paths, "/"))
    text = b"".join(_bytes_of(chunk) for chunk in paths.chunks)  # finding nothing in it is all that most need
    for sign, pattern in ((b"\\", r"\\"), (b"\0", r"\x00"), (b"..", r"(^|/)\.\.(/|$)")):
        if sign in text:
            bad = pc.or_(bad, pc.match_substring_regex(paths, pattern))
    if pc.any(bad).as_py():
        raise ManifestError(f"path {paths.filter(bad)[0].as_py()!r} must stay inside {root}")


def _bytes_of(strings: pa.StringArray) -> memoryview:
    """Return the text of all values, one after the other."""
    offsets = np.frombuffer(strings.buffers()[1] or bytes(4), np.int32)
    data = strings.buffers()[2]
    first, last = offsets[strings.offset], offsets[strings.offset + len(strings)]
    return memoryview(data)[first:last] if data is not None else memoryview(b"")


def _cast(array: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(target):
        return array.cast(pa.string()).dictionary_encode()
    return array.cast(target)


def _check_version(path: Path, version: str | None) -> None:
    if version is None:
        return
    major = version.split(".")[0]
    if not major.isdecimal():
        raise ManifestError(f"manifest {path}: schema_version {version!r} must be like {SCHEMA_VERSION}")
    if int(major) > int(SCHEMA_VERSION.split(".")[0]):
        raise ManifestError(
            f"manifest {path} has schema_version {version}, newer than {SCHEMA_VERSION}; update vfi-difficulty"
        )

"""The manifest: one Parquet row per triplet and resolution. Schema, reading, writing, safe paths."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_tools.common.files import atomic_writer, check_inside, inside
from dataset_tools.errors import ManifestError

SCHEMA_VERSION = "1.1"  # major.minor: a reader refuses a newer major version
DEFAULT_NAME = "data_manifest.parquet"
IMAGE_COLUMNS = ("img0", "gt", "img1", "pred")

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
    ]
)


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
        """The data set's folder, which no path of the manifest may leave."""
        return self.path.parent

    def __len__(self) -> int:
        return self.table.num_rows

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries, in ``triplet_id`` order; times of votes are UTC datetimes."""
        return self.table.to_pylist()

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame (categories as ``category``)."""
        return self.table.to_pandas()

    def file(self, row: Mapping[str, Any], column: str) -> Path:
        """Return the path of a row's image file.

        Raises:
            ManifestError: The row has no such file, or its path leaves the data set's folder.
        """
        relative = row[column]
        if relative is None:
            raise ManifestError(f"triplet {row['triplet_id']} has no {column}; run dataset_tools.predict first")
        return inside(self.root, relative)

    def with_columns(self, columns: Mapping[str, Sequence[Any]]) -> "Manifest":
        """Return a copy whose named columns hold these values, one per row in order (new columns come last)."""
        table = self.table
        for name, values in columns.items():
            known = SCHEMA.field(name).type if name in SCHEMA.names else None
            array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type=known)
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, array)
            else:
                table = table.append_column(name, array)
        return replace(self, table=table)

    def write(self, path: Path | None = None) -> None:
        """Write the manifest atomically to ``path`` (its own path by default)."""
        metadata = {"created_by": created_by(), **self.metadata, "schema_version": SCHEMA_VERSION}
        table = _conform(self.table, self.path).sort_by("triplet_id").replace_schema_metadata(metadata)
        with atomic_writer(path or self.path) as file:
            pq.write_table(table, file, compression="zstd")


def created_by() -> str:
    """Return the writer's name and version for the manifest's metadata."""
    from dataset_tools import __version__

    return f"vfi-difficulty {__version__}"


def from_rows(path: Path, rows: Iterable[Mapping[str, Any]], *, metadata: Mapping[str, str] | None = None) -> Manifest:
    """Return a manifest of ``rows`` (missing columns are null), sorted by ``triplet_id``; nothing is written.

    Raises:
        ManifestError: Two rows share a ``triplet_id``, or a value does not fit its column.
    """
    listed = sorted(rows, key=lambda row: row["triplet_id"])
    names = [row["triplet_id"] for row in listed]
    if len(set(names)) != len(names):
        double = next(a for a, b in itertools.pairwise(names) if a == b)
        raise ManifestError(f"triplet_id {double!r} must be unique, found twice")
    try:
        columns = [pa.array([row.get(column.name) for row in listed], type=column.type) for column in SCHEMA]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ManifestError(f"a row does not fit the manifest's schema: {error}") from error
    return Manifest(path, pa.Table.from_arrays(columns, schema=SCHEMA), dict(metadata or {}))


def read_manifest(path: Path) -> Manifest:
    """Return the manifest stored at ``path``.

    Columns missing from an older file are filled with null, unknown ones are kept.

    Raises:
        ManifestError: No such file, not Parquet, a newer major ``schema_version``, a column of a wrong type
            or there twice, a null or repeated ``triplet_id``, or an image path that leaves the folder.
    """
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise ManifestError(f"manifest {path} does not exist") from None
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"manifest {path} is not a readable Parquet file: {error}") from error
    metadata = {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (table.schema.metadata or {}).items()
        if key not in (b"ARROW:schema", b"pandas")
    }
    _check_version(path, metadata.get("schema_version"))
    if double := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise ManifestError(f"manifest {path}: column {double[0]!r} must be there once, found more often")
    if "triplet_id" not in table.column_names:
        raise ManifestError(f"manifest {path} has no column triplet_id: it is not a triplet manifest")
    table = _conform(table, path).sort_by("triplet_id")
    _check_ids(path, table.column("triplet_id").to_pylist())
    manifest = Manifest(path, table, metadata)
    for column in IMAGE_COLUMNS:
        check_inside(manifest.root, table.column(column).unique().drop_null().to_pylist())
    return manifest


def extraction_options(manifest: Manifest) -> dict[str, Any]:
    """Return the resolved options of the extraction that made the manifest; empty when not recorded."""
    try:
        options = json.loads(manifest.metadata.get("extraction", "{}"))
    except json.JSONDecodeError as error:
        raise ManifestError(f"manifest {manifest.path}: metadata key extraction is not JSON: {error}") from error
    return options if isinstance(options, dict) else {}


def _conform(table: pa.Table, path: Path) -> pa.Table:
    """Return ``table`` with the schema's columns first and typed as the schema says."""
    arrays, fields = [], []
    for column in SCHEMA:
        if column.name in table.column_names:
            array = table.column(column.name)
            try:
                arrays.append(array if array.type == column.type else _cast(array, column.type))
            except pa.ArrowException as error:
                fault = f"column {column.name} has the wrong type {array.type}, must be {column.type}: {error}"
                raise ManifestError(f"manifest {path}: {fault}") from error
        else:
            arrays.append(pa.nulls(table.num_rows, column.type))
        fields.append(column)
    for name in table.column_names:
        if name not in SCHEMA.names:
            arrays.append(table.column(name))
            fields.append(table.schema.field(name))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields)).unify_dictionaries()


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


def _check_ids(path: Path, names: list[str | None]) -> None:
    previous: str | None = None
    for name in names:
        if name is None:
            raise ManifestError(f"manifest {path} has a row without triplet_id")
        if name == previous:
            raise ManifestError(f"manifest {path}: triplet_id {name!r} must be unique, found twice")
        previous = name

"""Writers of the forms a data set can leave the toolkit in: each fills a folder from a manifest."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_tools.common.files import sha256_file, write_bytes, write_json
from dataset_tools.errors import FrameError
from dataset_tools.manifest import DEFAULT_NAME, IMAGE_COLUMNS, VOTE, Manifest

ROWS_PER_SHARD = 1000
_ROWS_PER_GROUP = 16  # four 1080p pictures a row: 200 MB in memory
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # what the ``datasets`` library calls an image
_CROISSANT = "http://mlcommons.org/croissant/"


def write_recipe(manifest: Manifest, out: Path) -> None:
    """Write the manifest alone, with how to rebuild the pixels from the clips, which may not be re-hosted."""
    manifest.write(out / DEFAULT_NAME)
    text = (
        "# A data set without its pixels\n\n"
        f"{len(manifest)} frame triplets: which frames of which clips, their hashes, metrics and levels. The frames\n"
        "are rebuilt from the clips, which you get from their owners, and checked against the hashes:\n\n"
        "```\n"
        f"python -m dataset_tools.materialize {DEFAULT_NAME} --source KIND:PATH --predictions\n"
        f"python -m dataset_tools.verify {DEFAULT_NAME}\n"
        "```\n"
    )
    write_bytes(out / "README.md", text.encode())


def write_huggingface(manifest: Manifest, out: Path) -> None:
    """Write ``data/<split>-*.parquet`` with the pictures inside, and a dataset card that names the features."""
    schema = pa.schema([pa.field(field.name, _stored_type(field)) for field in manifest.table.schema])
    for name, rows in _shards(manifest, pattern="{split}-{number:05d}-of-{total:05d}.parquet"):
        (out / "data").mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(out / "data" / name, schema, compression="zstd") as writer:
            for start in range(0, len(rows), _ROWS_PER_GROUP):
                group = [{**row, **_pictures(manifest, row)} for row in rows[start : start + _ROWS_PER_GROUP]]
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
    splits = sorted({row["split"] or "none" for row in manifest.rows()})
    files = "".join(f"  - split: {split}\n    path: data/{split}-*.parquet\n" for split in splits)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}dataset_info:\n  features:\n"
    card += "".join(_feature_lines(field) for field in manifest.table.schema)
    card += f"---\n\n# Frame triplets\n\n{len(manifest)} triplets with predicted middle frames and difficulty levels.\n"
    write_bytes(out / "README.md", card.encode())


def write_webdataset(manifest: Manifest, out: Path) -> None:
    """Write ``<split>-*.tar``: a sample is ``<key>.img0.png``, ``.gt.png``, ``.img1.png``, ``.pred.png``, ``.json``."""
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in _shards(manifest, pattern="{split}-{number:06d}.tar"):
        with tarfile.open(out / name, "w", format=tarfile.USTAR_FORMAT) as archive:
            for row in rows:
                key = f"{row['position']:08d}"  # a dot in a key would end it
                for column, picture in _pictures(manifest, row).items():
                    if picture is not None:
                        _add(archive, f"{key}.{column}.png", picture["bytes"])
                facts = {name: value for name, value in row.items() if name not in (*IMAGE_COLUMNS, "position")}
                _add(archive, f"{key}.json", json.dumps(facts, default=_as_json, sort_keys=True).encode())


def write_croissant(manifest: Manifest, out: Path) -> None:
    """Write the manifest and ``croissant.json``, which describes its columns to machines (Croissant 1.0)."""
    manifest.write(out / DEFAULT_NAME)
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"triplets/{field.name}",
            "name": field.name,
            "dataType": _croissant_type(field.type),
            "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": field.name}},
        }
        for field in manifest.table.schema
        if not pa.types.is_list(field.type)  # nested; a machine that wants them reads the Parquet file
    ]
    write_json(
        out / "croissant.json",
        {
            "@context": _croissant_context(),
            "@type": "sc:Dataset",
            "name": "vfi-difficulty-triplets",
            "description": f"{len(manifest)} frame triplets with difficulty levels of video frame interpolation.",
            "conformsTo": f"{_CROISSANT}1.0",
            "version": "1.0.0",
            "url": "https://example.org/",
            "license": "see the sources of the clips",
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": "manifest",
                    "name": "manifest",
                    "contentUrl": DEFAULT_NAME,
                    "encodingFormat": "application/x-parquet",
                    "sha256": sha256_file(out / DEFAULT_NAME),
                }
            ],
            "recordSet": [
                {
                    "@type": "cr:RecordSet",
                    "@id": "triplets",
                    "name": "triplets",
                    "key": {"@id": "triplets/triplet_id"},
                    "field": fields,
                }
            ],
        },
    )


def _shards(manifest: Manifest, *, pattern: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield file names and their rows, by split; each row knows its ``position`` in the manifest."""
    by_split: dict[str, list[dict[str, Any]]] = {}
    for position, row in enumerate(manifest.rows()):
        by_split.setdefault(row["split"] or "none", []).append({**row, "position": position})
    for split, rows in sorted(by_split.items()):
        total = -(-len(rows) // ROWS_PER_SHARD)
        for number in range(total):
            chosen = rows[number * ROWS_PER_SHARD : (number + 1) * ROWS_PER_SHARD]
            yield pattern.format(split=split, number=number, total=total), chosen


def _pictures(manifest: Manifest, row: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return the image files of a row, unchanged; ``None`` for a prediction that does not exist."""
    pictures: dict[str, dict[str, Any] | None] = {}
    for column in IMAGE_COLUMNS:
        if row[column] is None:
            pictures[column] = None
            continue
        path = manifest.file(row, column)
        try:
            pictures[column] = {"bytes": path.read_bytes(), "path": row[column]}
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise FrameError(f"{path}: {reason}; run dataset_tools.verify to see all faults") from error
    return pictures


def _as_json(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)  # fingerprints; times of votes


def _stored_type(field: pa.Field) -> pa.DataType:
    if field.name in IMAGE_COLUMNS:
        return _PICTURE
    return field.type.value_type if pa.types.is_dictionary(field.type) else field.type


def _feature_lines(field: pa.Field) -> str:
    if field.name == "votes":
        members = "".join(f"    - name: {part.name}\n      dtype: {_feature_type(part.type)}\n" for part in VOTE)
        return f"  - name: votes\n    list:\n{members}"
    if pa.types.is_list(field.type):
        return f"  - name: {field.name}\n    sequence: {_feature_type(field.type.value_type)}\n"
    kind = "image" if field.name in IMAGE_COLUMNS else _feature_type(_stored_type(field))
    return f"  - name: {field.name}\n    dtype: {kind}\n"


def _feature_type(kind: pa.DataType) -> str:
    names = {"float": "float32", "double": "float64", "timestamp[us, tz=UTC]": "timestamp[us, tz=UTC]"}
    return names.get(str(kind), str(kind))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time is 0, so the same data give the same archive
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _croissant_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


def _croissant_context() -> dict[str, Any]:
    terms = ("citeAs", "column", "extract", "field", "fileObject", "key", "recordSet", "source")
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": _CROISSANT,
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        **{term: f"cr:{term}" for term in terms},
    }

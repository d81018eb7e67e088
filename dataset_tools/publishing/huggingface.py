"""A data set for the Hugging Face hub: Parquet with the pictures inside, a configuration per resolution, and a card."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from dataset_tools.common.files import atomic_writer, write_bytes
from dataset_tools.levels import LEVEL_NAMES, LEVELS
from dataset_tools.manifest import IMAGE_COLUMNS
from dataset_tools.publishing.features import feature, plain
from dataset_tools.publishing.meanings import HASHES, MEANINGS, RIGHTS
from dataset_tools.publishing.shards import Shard, Write, plan_shards, read_pictures, write_shards
from dataset_tools.publishing.source import Outgoing

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # what the ``datasets`` library calls an image
_CLASS = "difficulty"  # the level as a class, beside the mean of the votes
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_huggingface(manifest: Outgoing, out: Path) -> list[str]:
    """Write ``data/<resolution>/<split>-*.parquet`` and ``README.md``; return notes on what was left out.

    Files that are there already are taken as written by a run that was broken off.
    """
    fields, notes = _fields(manifest)
    shards = plan_shards(manifest)
    missing = [shard for shard in shards if not _path(out, shard).exists()]
    columns = [name for name in fields if name != _CLASS]
    write_shards(manifest, missing, columns, open_shard=lambda shard: _open_shard(manifest, _path(out, shard), fields))
    write_bytes(out / "README.md", card(manifest, shards, fields).encode())
    return notes


def _fields(manifest: Outgoing) -> tuple[dict[str, pa.DataType], list[str]]:
    fields: dict[str, pa.DataType] = {}
    left_out = []
    for field in manifest.schema:
        kind = _PICTURE if field.name in IMAGE_COLUMNS else plain(field.type)
        if field.name == _CLASS or (not manifest.with_hashes and field.name in HASHES):
            continue
        if field.name not in IMAGE_COLUMNS and feature(kind) is None:
            left_out.append(f"column {field.name} ({field.type}) is left out: datasets has no such type")
            continue
        fields[field.name] = kind
    return {**fields, _CLASS: pa.int64()}, left_out


def _path(out: Path, shard: Shard) -> Path:
    return out / "data" / shard.resolution / f"{shard.split}-{shard.number:05d}.parquet"


@contextmanager
def _open_shard(manifest: Outgoing, path: Path, fields: dict[str, pa.DataType]) -> Iterator[Write]:
    schema = pa.schema(list(fields.items()))
    with atomic_writer(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def write(rows: pa.Table) -> None:
            listed = [
                {**row, **read_pictures(manifest.frames, row), _CLASS: _level_class(row.get("level"))}
                for row in rows.to_pylist()
            ]
            writer.write_table(pa.Table.from_pylist(listed, schema=schema))

        yield write


def _level_class(level: float | None) -> int | None:
    """Return the place of the nearest level in the class label; half a level counts as the harder one."""
    return None if level is None else min(max(int(level + 0.5), LEVELS[0]), LEVELS[-1]) - LEVELS[0]


def card(manifest: Outgoing, shards: list[Shard], fields: dict[str, pa.DataType]) -> str:
    """Return the dataset card: its head for machines, its body for people."""
    resolutions = list(dict.fromkeys(shard.resolution for shard in shards))
    number = sum(shard.end - shard.start for shard in shards)
    head: dict[str, Any] = {
        "license": manifest.license,
        "pretty_name": manifest.pretty_name,
        "tags": ["video-frame-interpolation", "image-quality-assessment", "perceptual-quality", "video"],
        "task_categories": ["image-to-image", "image-classification"],
        "size_categories": [next((name for limit, name in _SIZES if number < limit), "n>1M")],
        "configs": [
            {
                "config_name": resolution,
                "data_files": [
                    {"split": split, "path": f"data/{resolution}/{split}-*.parquet"}
                    for split in _splits(shards, resolution)
                ],
            }
            for resolution in resolutions
        ],
        "dataset_info": [
            {
                "config_name": resolution,
                "features": [_feature(name, kind) for name, kind in fields.items()],
                "splits": [
                    {"name": split, "num_examples": count} for split, count in _splits(shards, resolution).items()
                ],
            }
            for resolution in resolutions
        ],
    }
    if manifest.license == "other":
        head["license_name"] = "by-source"
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(manifest, shards, fields)}"


def _splits(shards: list[Shard], resolution: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for shard in shards:
        if shard.resolution == resolution:
            counts[shard.split] += shard.end - shard.start
    return dict(counts)


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    if name in IMAGE_COLUMNS:
        return {"name": name, "dtype": "image"}
    if name == _CLASS:
        return {
            "name": name,
            "dtype": {"class_label": {"names": {str(i): LEVEL_NAMES[x] for i, x in enumerate(LEVELS)}}},
        }
    return {"name": name, **(feature(kind) or {})}


def _body(manifest: Outgoing, shards: list[Shard], fields: dict[str, pa.DataType]) -> str:
    number = sum(shard.end - shard.start for shard in shards)
    lines = [f"# {manifest.pretty_name}", ""]
    lines += [f"{number} frame triplets with predicted middle frames and difficulty levels.", ""]
    lines += ["| configuration | split | triplets |", "| --- | --- | --- |"]
    for resolution in dict.fromkeys(shard.resolution for shard in shards):
        lines += [f"| {resolution} | {split} | {count} |" for split, count in _splits(shards, resolution).items()]
    lines += ["", "## Sources", "", "| source | rights |", "| --- | --- |"]
    lines += [f"| {source} | {RIGHTS.get(source, 'see its owner')} |" for source in manifest.sources]
    lines += ["", "## Columns", "", "| column | meaning |", "| --- | --- |"]
    meanings = {**MEANINGS, _CLASS: "the level, rounded, as a class"}
    lines += [f"| `{name}` | {meanings.get(name, 'added by others')} |" for name in fields]
    return "\n".join(lines) + "\n"

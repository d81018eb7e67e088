"""A data set as tar files for streaming loaders (WebDataset)."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_tools.common.files import atomic_writer
from dataset_tools.manifest import IMAGE_COLUMNS
from dataset_tools.publishing.meanings import HASHES
from dataset_tools.publishing.shards import Shard, Write, plan_shards, read_pictures, write_shards
from dataset_tools.publishing.source import Outgoing


def sample_key(triplet_id: str) -> str:
    """Return a sample's key: it depends on the triplet alone, whatever else is in the data set; a dot would end it."""
    return hashlib.sha256(triplet_id.encode()).hexdigest()[:20]


def write_webdataset(manifest: Outgoing, out: Path) -> list[str]:
    """Write ``<resolution>/<split>-*.tar``: a sample is ``<key>.img0.png``, ``.gt.png``, ``.img1.png``, ``.pred.png``,
    ``.json``. Return notes, of which there are none.

    Files that are there already are taken as written by a run that was broken off.
    """
    left_out = () if manifest.with_hashes else HASHES
    columns = [name for name in manifest.schema.names if name not in left_out]
    missing = [shard for shard in plan_shards(manifest) if not _path(out, shard).exists()]
    write_shards(manifest, missing, columns, open_shard=lambda shard: _open_shard(manifest, _path(out, shard)))
    return []


def _path(out: Path, shard: Shard) -> Path:
    return out / shard.resolution / f"{shard.split}-{shard.number:06d}.tar"


@contextmanager
def _open_shard(manifest: Outgoing, path: Path) -> Iterator[Write]:
    with atomic_writer(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:

        def write(rows: pa.Table) -> None:
            for row in rows.to_pylist():
                key = sample_key(row["triplet_id"])
                for column, picture in read_pictures(manifest.frames, row).items():
                    if picture is not None:
                        _add(archive, f"{key}.{column}.png", picture["bytes"])
                facts = {name: value for name, value in row.items() if name not in IMAGE_COLUMNS}
                _add(archive, f"{key}.json", json.dumps(facts, default=_as_json, sort_keys=True).encode())

        yield write


def _as_json(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)  # fingerprints; times of votes


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time is 0, so the same data give the same archive
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))

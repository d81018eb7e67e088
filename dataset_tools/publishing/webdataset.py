"""A data set as tar files for streaming loaders (WebDataset)."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from dataset_tools.common.files import atomic_writer
from dataset_tools.manifest import IMAGE_COLUMNS
from dataset_tools.publishing.meanings import HASHES
from dataset_tools.publishing.shards import Shard, plan_shards, read_pictures, shard_rows
from dataset_tools.publishing.source import Outgoing


def sample_key(triplet_id: str) -> str:
    """Return a sample's key: it depends on the triplet alone, whatever else is in the data set; a dot would end it."""
    return hashlib.sha256(triplet_id.encode()).hexdigest()[:20]


def write_webdataset(manifest: Outgoing, out: Path) -> list[str]:
    """Write ``<resolution>/<split>-*.tar``: a sample is ``<key>.img0.png``, ``.gt.png``, ``.img1.png``, ``.pred.png``,
    ``.json``. Return notes, of which there are none.

    Files that are there already are taken as written by a run that was broken off.
    """
    for shard in plan_shards(manifest):
        path = out / shard.resolution / f"{shard.split}-{shard.number:06d}.tar"
        if not path.exists():
            _write_shard(manifest, shard, path)
    return []


def _write_shard(manifest: Outgoing, shard: Shard, path: Path) -> None:
    left_out = () if manifest.with_hashes else HASHES
    columns = [name for name in manifest.schema.names if name not in left_out]
    with atomic_writer(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for rows in shard_rows(manifest, shard, columns):
            for row in rows.to_pylist():
                key = sample_key(row["triplet_id"])
                for column, picture in read_pictures(manifest.root, row).items():
                    if picture is not None:
                        _add(archive, f"{key}.{column}.png", picture["bytes"])
                facts = {name: value for name, value in row.items() if name not in IMAGE_COLUMNS}
                _add(archive, f"{key}.json", json.dumps(facts, default=_as_json, sort_keys=True).encode())


def _as_json(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)  # fingerprints; times of votes


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time is 0, so the same data give the same archive
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))

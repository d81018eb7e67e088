"""The items of a manifest: what can be labelled, kept in step with the database, ready for fast answers.

An item is a triplet with exactly these pixels: its key hashes the triplet's id and the four pixel hashes. Adding
triplets to a manifest keeps all votes; a triplet whose pixels changed is a new item, and the old one rests with its
votes. In a paired project an item is a triplet with two predictions, and its key holds the rival's pixels too. Images
have opaque addresses, keyed hashes that tell nothing about clip, index or role.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, bindparam, insert, select, text, update

from dataset_tools.common.remote import Folder
from dataset_tools.errors import ManifestError
from dataset_tools.manifest import IMAGE_COLUMNS, Manifest
from labeling_app.annotation.assignments import strata
from labeling_app.annotation.pairing import with_rivals
from labeling_app.annotation.quota import Rule, wanted_overlap
from labeling_app.database.tables import items

_HASHES = tuple(f"{column}_sha256" for column in IMAGE_COLUMNS)
_COLUMNS = (  # of a manifest: without votes and fingerprints, which are most of its bytes
    *("triplet_id", "source", "clip", "resolution", "width", "height", "interval", "img0_pts", "gt_pts", "score"),
    *IMAGE_COLUMNS,
    *_HASHES,
)
_OF_RIVALS = ("triplet_id", *IMAGE_COLUMNS, *_HASHES, "predictor")
_LOCK = 7_860_002  # see lock_items


@dataclass(frozen=True, slots=True)
class ItemInfo:
    """What the bench tells about one item; sizes in pixels, ``frame_seconds`` from img0 to gt.

    ``media`` maps a role (img0, gt, img1, pred, and rival of a pair) to an opaque id.
    """

    id: int
    triplet_id: str
    clip: str
    resolution: str
    width: int
    height: int
    interval: int
    frame_seconds: float | None
    media: Mapping[str, str]

    @property
    def is_pair(self) -> bool:
        """Whether there are two predictions to compare."""
        return "rival" in self.media

    def told(self) -> dict[str, Any]:
        """Return what annotators and leads are told alike, by the names of the API."""
        names = ("resolution", "width", "height", "interval", "frame_seconds")
        return {name: getattr(self, name) for name in names} | {"paired": self.is_pair}

    def told_to_lead(self, addresses: Mapping[str, str]) -> dict[str, Any]:
        """Return what a lead is told, with pictures at ``addresses`` (by role); a pair's own prediction is left."""
        images = {role: addresses[role] for role in IMAGE_COLUMNS}
        if self.is_pair:
            images |= {"left": addresses["pred"], "right": addresses["rival"]}
        return {**self.told(), "item_id": self.id, "triplet_id": self.triplet_id, "images": images}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file: a path inside the folder of a data set's frames."""

    root: Folder
    path: str


@dataclass(frozen=True)
class Catalogue:
    """A manifest's labellable items in memory; arrays run along ``ids``.

    Attributes:
        ids: Item ids in the database.
        strata: Code of (source, resolution, interval bucket) per item.
        scores: The model's ``score`` column, NaN where there is none.
        by_id: Item id to what is told about it.
        files: Opaque id to the file.
        skipped: Rows without a prediction, a pixel hash, or (of pairs) a rival: they cannot be labelled yet.
    """

    manifest: Manifest
    ids: npt.NDArray[np.int64]
    strata: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    by_id: Mapping[int, ItemInfo]
    files: Mapping[str, Picture]
    skipped: int


def item_key(row: Mapping[str, Any]) -> str:
    """Return the identity of a manifest row for labelling: 64 hex digits over its id and its pixels."""
    parts = [row["triplet_id"], *(row[name] or "" for name in _HASHES)]
    if row.get("rival_sha256"):
        parts.append(row["rival_sha256"])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load_catalogue(
    connection: Connection,
    manifest: Manifest,
    *,
    secret: bytes,
    overlap: int,
    rules: Sequence[Rule] = (),
    against: Manifest | None = None,
) -> Catalogue:
    """Bring the table ``items`` in step with ``manifest`` and return the catalogue.

    Args:
        connection: In a write transaction, after ``lock_items``.
        manifest: What is labelled.
        secret: Key of the opaque image addresses.
        overlap: Votes wanted per triplet where no rule says otherwise.
        rules: Later changes of the overlap, oldest first.
        against: A second manifest whose predictions are compared with those of ``manifest``.

    Raises:
        ManifestError: No row has a prediction and pixel hashes, or no pair of two, or a path leaves the folder.
    """
    rows = _rows(manifest, _COLUMNS if against is None else (*_COLUMNS, "predictor"))
    if against is not None:
        rivals = {row["triplet_id"]: row for row in _rows(against, _OF_RIVALS)}
        rows = list(with_rivals(rows, rivals))
        if not rows:
            raise ManifestError(
                f"manifest {against.path} has no other prediction of any triplet of {manifest.path}; copy the data set"
                " and run dataset_tools.predict --predictor OTHER on the copy"
            )
    keys = [item_key(row) for row in rows]
    ids = _sync(connection, rows, keys, overlap=overlap, rules=rules)
    infos, files = {}, {}
    for row, key, item_id in zip(rows, keys, ids, strict=True):
        media = {}
        for role in IMAGE_COLUMNS if against is None else (*IMAGE_COLUMNS, "rival"):
            media[role] = opaque_id(secret, key, role)
            root = against.frames if against is not None and role == "rival" else manifest.frames
            files[media[role]] = Picture(root, row[role])
        infos[item_id] = _info(row, item_id, media)
    return Catalogue(
        manifest=manifest,
        ids=np.array(ids, dtype=np.int64),
        strata=strata(
            [row["source"] for row in rows], [row["resolution"] for row in rows], [row["interval"] for row in rows]
        ),
        # A score is a level: it says nothing about which of two predictions is worse.
        scores=np.array([_number(row.get("score") if against is None else None) for row in rows], dtype=np.float64),
        by_id=infos,
        files=files,
        skipped=len(manifest) - len(rows),
    )


def _rows(manifest: Manifest, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows = [row for piece in manifest.batches(columns) for row in _labellable(piece).to_pylist()]
    if not rows:
        raise ManifestError(f"manifest {manifest.path} has no triplet with a prediction; run dataset_tools.predict")
    return rows


def _labellable(piece: pa.Table) -> pa.Table:
    """Return the rows that have a prediction and the hashes of all four pictures."""
    masks = [pc.fill_null(pc.greater(pc.binary_length(piece.column(name)), 0), False) for name in _HASHES]
    return piece.filter(reduce(pc.and_, masks, pc.is_valid(piece.column("pred"))))


def lock_items(connection: Connection) -> None:
    """Let one transaction at a time, of all processes, change which items there are and how many votes they want."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def opaque_id(secret: bytes, key: str, role: str) -> str:
    """Return an image's address: 32 hex digits that only the holder of ``secret`` can compute."""
    return hmac.new(secret, f"{key}:{role}".encode(), hashlib.sha256).hexdigest()[:32]


def _sync(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    *,
    overlap: int,
    rules: Sequence[Rule],
) -> list[int]:
    columns = (items.c.item_key, items.c.id, items.c.overlap, items.c.extra, items.c.active)
    known = {row.item_key: row for row in connection.execute(select(*columns))}
    fresh, changed = [], []
    for row, key in zip(rows, keys, strict=True):
        wanted = wanted_overlap(row, default=overlap, rules=rules)
        found = known.get(key)
        if found is None:
            fresh.append(_item_values(row, key, wanted))
        elif found.overlap != wanted + found.extra or not found.active:
            changed.append({"b_id": found.id, "b_overlap": wanted + found.extra, "b_active": True})
    present = set(keys)
    gone = [row for row in known.values() if row.active and row.item_key not in present]
    changed += [{"b_id": row.id, "b_overlap": row.overlap, "b_active": False} for row in gone]
    if fresh:
        connection.execute(insert(items), fresh)
    if changed:
        change = update(items).where(items.c.id == bindparam("b_id"))
        connection.execute(change.values(overlap=bindparam("b_overlap"), active=bindparam("b_active")), changed)
    found_ids = {row.item_key: row.id for row in connection.execute(select(items.c.item_key, items.c.id))}
    return [found_ids[key] for key in keys]


def _item_values(row: Mapping[str, Any], key: str, overlap: int) -> dict[str, Any]:
    return {
        "item_key": key,
        "triplet_id": row["triplet_id"],
        "source": row["source"] or "",
        "clip": row["clip"] or "",
        "resolution": row["resolution"] or "",
        "interval": row["interval"] or 0,
        **{name: row[name] for name in _HASHES},
        **{name: row.get(name) for name in ("rival_sha256", "predictor", "rival_predictor")},
        "overlap": overlap,
        "taken": 0,
        "active": True,
    }


def _info(row: Mapping[str, Any], item_id: int, media: Mapping[str, str]) -> ItemInfo:
    start, end = row["img0_pts"], row["gt_pts"]
    return ItemInfo(
        id=item_id,
        triplet_id=row["triplet_id"],
        clip=f"{row['source']}/{row['clip']}",
        resolution=row["resolution"] or "",
        width=row["width"] or 0,
        height=row["height"] or 0,
        interval=row["interval"] or 0,
        frame_seconds=end - start if start is not None and end is not None and end > start else None,
        media=media,
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


Stamp = tuple[int, int, int]


def file_stamp(path: Path) -> Stamp:
    """Return what changes when a file is written anew or replaced."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size

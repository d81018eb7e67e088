"""One server's working parts in one place: settings, database, catalogue, secret, clock, and small caches."""

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, insert, select, text, update

from dataset_tools.errors import ManifestError
from dataset_tools.manifest import IMAGE_COLUMNS, Manifest, read_manifest
from labeling_app.accounts.throttle import Limits
from labeling_app.annotation.assignments import Gold
from labeling_app.annotation.catalogue import Catalogue, Stamp, file_stamp, load_catalogue, lock_items
from labeling_app.annotation.gold import read_gold
from labeling_app.annotation.quota import read_rules
from labeling_app.database.events import Clock, now_us
from labeling_app.database.store import Store
from labeling_app.database.tables import meta
from labeling_app.settings import Settings

REFRESH_SECONDS = 5.0
Stamps = tuple[Stamp, ...]  # of the manifest, and of the second one of a paired project
Identity = tuple[pa.Table, ...]  # the columns of each that decide what the items are
_META_LOCK = 7_860_003


@dataclass
class Queue:
    """What one annotator would like to see next.

    Attributes:
        version: ``ServerState.version`` when it was made.
        order: Item ids in the order of the rules; all of them, since a vote may be taken back and its lease run out.
        waiting: Those of ``order`` not yet seen or claimed by this annotator or found full.
        by_worth: Items that stand where they do for what a vote on them says.
        made_at_us: When it was made.
    """

    version: int
    order: list[int]
    waiting: list[int]
    by_worth: set[int]
    made_at_us: int


@dataclass(frozen=True)
class Remaining:
    """A count of what was left for an annotator, and when it was true."""

    at_us: int
    version: int
    remaining: int
    done: int


@dataclass
class ServerState:
    """Everything a request needs; one per process, shared by its threads."""

    settings: Settings
    store: Store
    secret: bytes
    catalogue: Catalogue
    gold: dict[int, Gold]
    clock: Clock = now_us
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    version: int = 0  # counts catalogue and gold changes: queues of an older version are made anew
    verdicts: int = 0  # given through this process
    queues: dict[int, Queue] = field(default_factory=dict)
    remaining: dict[int, Remaining] = field(default_factory=dict)
    num_open: tuple[float, int] | None = None  # (monotonic seconds, items that want a vote)
    last_sweep_us: int = 0
    user_locks: dict[int, threading.Lock] = field(default_factory=dict)
    refresh_lock: threading.Lock = field(default_factory=threading.Lock)
    checked_at: float = 0.0
    stamps: Stamps = ()
    identity: Identity = ()
    sign_in_limits: Limits = field(default_factory=Limits)

    def user_lock(self, user_id: int) -> threading.Lock:
        """Return the lock that lets one request at a time choose items for an annotator."""
        return self.user_locks.setdefault(user_id, threading.Lock())

    def clip_of(self, item_id: int) -> str:
        """Return the clip that an item was taken from; empty when the manifest no longer holds it."""
        info = self.catalogue.by_id.get(item_id)
        return "" if info is None else info.clip

    def image_addresses(self, item_id: int) -> dict[str, str]:
        """Return where the page finds an item's pictures, by their roles."""
        media = self.catalogue.by_id[item_id].media
        return {role: f"{self.settings.root_path}/img/{opaque}" for role, opaque in media.items()}

    def refresh(self, *, force: bool = False) -> None:
        """Take up a changed manifest or changed gold items; looks at most every few seconds, never in two threads."""
        if not force and time.monotonic() - self.checked_at < REFRESH_SECONDS:
            return
        if not self.refresh_lock.acquire(blocking=force):
            return
        try:
            self.checked_at = time.monotonic()
            with self.store.read() as connection:
                gold = read_gold(connection)
            if gold != self.gold:
                self.gold, self.num_open = gold, None
                self.version += 1
            stamps = _stamps(self.settings)
            if stamps == self.stamps:
                return
            identity = _identity(self.settings)  # before the items: should the file change now, the next look sees it
            if not _equal(identity, self.identity):  # an export changes levels, not items
                self.catalogue, self.num_open = _load(self.settings, self.store, self.secret), None
                self.identity = identity
                self.version += 1
            self.stamps = stamps
        except (ManifestError, OSError, pa.ArrowException):
            return  # a manifest half copied by hand: go on with the one in memory and look again
        finally:
            self.refresh_lock.release()

    def take_up_changes(self) -> None:
        """Forget what was counted and ordered before a step at the desk, and read gold and manifest again."""
        self.num_open = None
        self.remaining.clear()
        self.version += 1
        self.refresh(force=True)

    def close(self) -> None:
        """Close the database."""
        self.store.close()


def open_state(settings: Settings, *, clock: Clock = now_us, serving: bool = True) -> ServerState:
    """Open the database, bring its schema and items up to date, and return the server's state.

    Args:
        settings: What is labelled, where the votes are kept, and how.
        clock: Microseconds since 1970 UTC.
        serving: The settings' overlap and second manifest hold from now on; otherwise (a command beside a server) the
            stored ones stay.

    Raises:
        ManifestError: The manifest cannot be read or holds nothing to label.
        StoreError: The database cannot be opened.
    """
    manifest = read_manifest(settings.manifest)  # before the store: a wrong one must not leave a new database behind
    if settings.against is not None:
        read_manifest(settings.against)
    store = Store(settings.database_url)
    secret = store.transact(_secret)
    if serving:
        store.transact(lambda connection: _keep(connection, settings))
    else:
        settings = replace(settings, against=_stored_against(store))
    try:
        stamps, identity = _stamps(settings), _identity(settings)  # before the items, as in refresh
    except (OSError, pa.ArrowException):
        stamps, identity = (), ()  # the next line says what is wrong
    catalogue = _load(settings, store, secret, manifest)
    with store.read() as connection:
        gold = read_gold(connection)
    return ServerState(settings, store, secret, catalogue, gold, clock, stamps=stamps, identity=identity)


def _load(settings: Settings, store: Store, secret: bytes, manifest: Manifest | None = None) -> Catalogue:
    manifest = manifest or read_manifest(settings.manifest)
    against = None if settings.against is None else read_manifest(settings.against)

    def work(connection: Connection) -> Catalogue:
        lock_items(connection)  # before reading the rules, or a change of the overlap just now would be undone
        overlap = int(_get(connection, "overlap") or settings.overlap)
        rules = read_rules(connection)
        return load_catalogue(connection, manifest, secret=secret, overlap=overlap, rules=rules, against=against)

    return store.transact(work)


def _keep(connection: Connection, settings: Settings) -> None:
    """Keep what commands beside the server must know to see the same items."""
    _put(connection, "overlap", str(settings.overlap))
    _put(connection, "against", "" if settings.against is None else str(settings.against.resolve()))


def _stored_against(store: Store) -> Path | None:
    with store.read() as connection:
        stored = _get(connection, "against")
    return Path(stored) if stored else None


def _secret(connection: Connection) -> bytes:
    # In the database, so that replicas give the same addresses and CSRF tokens, also after a restart.
    _lock_meta(connection)
    value = _get(connection, "secret")
    if value is None:
        value = secrets.token_hex(32)
        _put(connection, "secret", value)
    return hashlib.sha256(value.encode()).digest()


def _get(connection: Connection, key: str) -> str | None:
    return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def _put(connection: Connection, key: str, value: str) -> None:
    _lock_meta(connection)
    if _get(connection, key) is None:
        connection.execute(insert(meta).values(key=key, value=value))
    else:
        connection.execute(update(meta).where(meta.c.key == key).values(value=value))


def _lock_meta(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _META_LOCK})


def _manifests(settings: Settings) -> list[Path]:
    return [settings.manifest] if settings.against is None else [settings.manifest, settings.against]


def _stamps(settings: Settings) -> Stamps:
    return tuple(file_stamp(path) for path in _manifests(settings))


def _identity(settings: Settings) -> Identity:
    """Return the columns that decide what the items are; reading them is fast, checking a whole manifest is not."""
    names = ["triplet_id", *IMAGE_COLUMNS, *(f"{column}_sha256" for column in IMAGE_COLUMNS), "score"]
    tables = []
    for path in _manifests(settings):
        present = pq.read_schema(path).names
        tables.append(pq.read_table(path, columns=[name for name in names if name in present]))
    return tuple(tables)


def _equal(one: Identity, other: Identity) -> bool:
    return len(one) == len(other) and all(a.equals(b) for a, b in zip(one, other, strict=True))

"""The append-only log: every vote, undo, skip, comment, setting, sign-in and export is one row, written once."""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, insert, select

from labeling_app.database.tables import events

T = TypeVar("T")
Clock = Callable[[], int]  # whole microseconds since 1970 UTC


def now_us() -> int:
    """Return the time, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def to_datetime(time_us: int) -> datetime:
    """Return a stored time as an aware UTC datetime."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)


def to_iso(time_us: int) -> str:
    """Return a stored time as ISO 8601 in UTC, to the microsecond."""
    return to_datetime(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One row of the log; ``payload`` must be JSON."""

    kind: str
    at_us: int
    user_id: int | None = None
    client_id: str | None = None
    item_id: int | None = None
    assignment_id: int | None = None
    target_id: int | None = None
    stage: str | None = None
    level: int | None = None
    seconds: float | None = None
    flagged: bool | None = None
    payload: Mapping[str, Any] | None = None


def append(connection: Connection, event: Event) -> int:
    """Add ``event`` to the log and return its id."""
    return int(connection.execute(insert(events).values(_values(event)).returning(events.c.id)).scalar_one())


def append_all(connection: Connection, many: Sequence[Event]) -> None:
    """Add many events at once, in order."""
    if many:
        connection.execute(insert(events), [_values(event) for event in many])


def chunks(values: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Yield lists of at most ``size`` values: databases take so many parameters and no more."""
    iterator = iter(values)
    while part := list(itertools.islice(iterator, size)):
        yield part


def _values(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "created_at_us": event.at_us,
        "user_id": event.user_id,
        "client_id": event.client_id,
        "item_id": event.item_id,
        "assignment_id": event.assignment_id,
        "target_id": event.target_id,
        "stage": event.stage,
        "level": event.level,
        "seconds": event.seconds,
        "flagged": event.flagged,
        "payload": dump(event.payload or {}),
    }


def dump(value: Any) -> str:
    """Return ``value`` as the one JSON text that stands for it: sorted keys, no spaces.

    Half a character (a lone surrogate) becomes "?": no database takes it.
    """
    words = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return words.encode("utf-8", "replace").decode()


def load(row: RowMapping) -> dict[str, Any]:
    """Return the payload of a stored event."""
    return json.loads(row["payload"])


def find(connection: Connection, *, user_id: int, client_id: str) -> RowMapping | None:
    """Return the event that this annotator's client already sent under ``client_id``, or ``None``."""
    query = select(events).where(events.c.user_id == user_id, events.c.client_id == client_id)
    return connection.execute(query).mappings().one_or_none()


def by_id(connection: Connection, event_id: int) -> RowMapping | None:
    """Return one event, or ``None``."""
    return connection.execute(select(events).where(events.c.id == event_id)).mappings().one_or_none()


def latest(connection: Connection, kind: str, *, user_id: int) -> RowMapping | None:
    """Return the annotator's newest event of ``kind``, or ``None``."""
    query = select(events).where(events.c.user_id == user_id, events.c.kind == kind)
    return connection.execute(query.order_by(events.c.id.desc()).limit(1)).mappings().one_or_none()


def of_kind(connection: Connection, kind: str) -> list[RowMapping]:
    """Return all events of ``kind``, oldest first."""
    query = select(events).where(events.c.kind == kind).order_by(events.c.id)
    return list(connection.execute(query).mappings())


def of_item(connection: Connection, item_id: int) -> list[RowMapping]:
    """Return the history of one item, oldest first."""
    query = select(events).where(events.c.item_id == item_id).order_by(events.c.id)
    return list(connection.execute(query).mappings())

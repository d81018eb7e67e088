"""Label Studio's JSON, both ways, so that votes can move between the tools.

A task holds the triplet in ``data``; an annotation holds the level as a rating or a choice named ``level``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, insert, select, update

from dataset_tools.errors import VfiError
from labeling_app.accounts import AccountError, add_account, check_name, find_row
from labeling_app.database import events
from labeling_app.database.events import Event, to_iso
from labeling_app.database.tables import assignments, items
from labeling_app.quality.votes import counted
from labeling_app.schemas import MAX_SECONDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTITY = ("triplet_id", "source", "resolution", "interval", "item_key")


class LabelStudioError(VfiError):
    """A file is not a Label Studio export."""


@dataclass
class Imported:
    """How an import went; ``rejected`` has one line per annotation that could not be taken."""

    votes: int = 0
    known: int = 0
    rejected: list[str] = field(default_factory=list)


def to_tasks(votes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return Label Studio tasks with one annotation per counted vote."""
    tasks: dict[int, dict[str, Any]] = {}
    for row in counted(votes).itertuples():
        data = {name: getattr(row, name) for name in _IDENTITY}
        task = tasks.setdefault(row.item_id, {"id": len(tasks) + 1, "data": data, "annotations": []})
        task["annotations"].append(_annotation(row))
    return list(tasks.values())


def _annotation(row: Any) -> dict[str, Any]:
    return {
        "id": row.event_id,
        "completed_by": {"email": row.annotator},
        "created_at": to_iso(row.created_at_us),
        "lead_time": None if pd.isna(row.seconds) else row.seconds,
        "was_cancelled": False,
        "result": [{"from_name": "level", "to_name": "pred", "type": "rating", "value": {"rating": row.level}}],
    }


def read_tasks(path: Path) -> list[dict[str, Any]]:
    """Return the tasks of a Label Studio JSON export.

    Raises:
        LabelStudioError: Not JSON, or not a list of tasks.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise LabelStudioError(f"{path} is not JSON: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise LabelStudioError(f"{path} must be a list of Label Studio tasks")
    return tasks


def import_tasks(connection: Connection, tasks: Iterable[Mapping[str, Any]], *, now_us: int) -> Imported:
    """Store the votes of Label Studio tasks; importing the same file again changes nothing.

    Triplets are found by ``item_key``, else by ``triplet_id`` among the items of the present manifest. Annotators who
    have no account get one that cannot sign in.
    """
    known_items = list(connection.execute(select(items.c.id, items.c.item_key, items.c.triplet_id, items.c.active)))
    by_key = {row.item_key: row.id for row in known_items}
    by_triplet = {row.triplet_id: row.id for row in known_items if row.active}
    result = Imported()
    for task in tasks:
        found = task.get("data")
        data: Mapping[str, Any] = found if isinstance(found, dict) else {}
        item_id = by_key.get(str(data.get("item_key"))) or by_triplet.get(str(data.get("triplet_id")))
        for annotation in _listed(task.get("annotations")):
            if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
                continue
            label = f"task {task.get('id')}, annotation {annotation.get('id')}"
            try:
                if item_id is None:
                    raise LabelStudioError(f"{label}: triplet {data.get('triplet_id')!r} is not in the manifest")
                _import_annotation(connection, item_id, annotation, label, result, now_us=now_us)
            except (LabelStudioError, AccountError) as error:
                result.rejected.append(str(error))
    return result


def _import_annotation(
    connection: Connection, item_id: int, annotation: Mapping[str, Any], label: str, result: Imported, *, now_us: int
) -> None:
    level = _level(annotation, label)
    user_id = _annotator_id(connection, annotation, now_us=now_us)
    client_id = f"label-studio-{item_id}"
    created_us = _time_us(annotation.get("created_at"), default=now_us)
    assignment_id = None
    if events.find(connection, user_id=user_id, client_id=client_id) is None:  # else known, if taken back since
        assignment_id = _voted_assignment(connection, item_id, user_id, at_us=created_us)
    if assignment_id is None:
        result.known += 1
        return
    event = Event(
        kind="vote",
        at_us=created_us,
        user_id=user_id,
        client_id=client_id,
        item_id=item_id,
        assignment_id=assignment_id,
        stage="work",
        level=level,
        seconds=_seconds(annotation.get("lead_time")),
        flagged=False,
        payload={"chosen_by": "import", "imported_at": to_iso(now_us)},
    )
    events.append(connection, event)
    result.votes += 1


def _voted_assignment(connection: Connection, item_id: int, user_id: int, *, at_us: int) -> int | None:
    """Return the annotator's assignment on the item, marked as voted; ``None`` where it has a vote already."""
    mine = select(assignments.c.id, assignments.c.state).where(
        assignments.c.item_id == item_id, assignments.c.user_id == user_id, assignments.c.repeat_index == 0
    )
    values = {"kind": "work", "state": "voted", "chosen_by": "import", "reopened": 0}
    row = connection.execute(mine.with_for_update()).one_or_none()
    if row is None:
        values |= {"item_id": item_id, "user_id": user_id, "repeat_index": 0}
        values |= {"claimed_at_us": at_us, "lease_expires_at_us": at_us}
        return connection.execute(insert(assignments).values(values).returning(assignments.c.id)).scalar_one()
    if row.state in ("voted", "surplus"):
        return None
    # Held, let go or skipped here, but rated there: the vote is not lost for that.
    connection.execute(update(assignments).where(assignments.c.id == row.id).values(values))
    return row.id


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seconds(value: Any) -> float | None:
    """Return a duration as the page would send it, or ``None`` for what is not one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= MAX_SECONDS else None


def _level(annotation: Mapping[str, Any], label: str) -> int:
    for part in _listed(annotation.get("result")):
        value = part.get("value") if isinstance(part, dict) and part.get("from_name") == "level" else None
        if not isinstance(value, dict):
            continue
        given = value.get("rating", next(iter(_listed(value.get("choices"))), None))
        digit = str(given).strip()[:1]
        if digit in ("1", "2", "3", "4") and (len(str(given).strip()) == 1 or not str(given).strip()[1].isdigit()):
            return int(digit)
    raise LabelStudioError(f"{label}: no level 1..4 in its result")


def _annotator_id(connection: Connection, annotation: Mapping[str, Any], *, now_us: int) -> int:
    who = annotation.get("completed_by")
    name = str(who.get("email") or who.get("id") if isinstance(who, dict) else f"label-studio {who}")
    row = find_row(connection, check_name(name))
    return row["id"] if row is not None else add_account(connection, name, now_us=now_us).id


def _time_us(value: Any, *, default: int) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return default
    return (moment - _EPOCH) // timedelta(microseconds=1)

"""Label Studio's JSON, both ways, so that votes can move between the tools.

A task holds the triplet in ``data``; an annotation holds the level as a rating or a choice named ``level``.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, insert, select, text, update

from dataset_tools.errors import VfiError
from labeling_app.accounts import AccountError, add_account, check_name, find_row
from labeling_app.database import events
from labeling_app.database.events import Event, to_iso
from labeling_app.database.tables import assignments, items
from labeling_app.database.tables import events as events_table
from labeling_app.quality.votes import counted
from labeling_app.schemas import MAX_SECONDS, MAX_TEXT

# A level, maybe with a word behind it ("2 slight") or as a whole float; 2.5 and 12 are none.
_LEVEL = re.compile(r"([1-4])(?:\.0+)?(?![.,]?\d)")
_CURRENT = """
SELECT id FROM current_votes WHERE user_id = :user_id AND item_id = :item_id AND stage IN ('work', 'gold', 'surplus')
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTITY = ("triplet_id", "source", "resolution", "interval", "item_key")


class LabelStudioError(VfiError):
    """A file is not a Label Studio export."""


@dataclass
class Imported:
    """How an import went; ``rejected`` has one line per annotation that could not be taken.

    ``corrected`` of the ``votes`` replace an earlier one by the same person; ``remarks`` are skips and verdicts.
    """

    votes: int = 0
    corrected: int = 0
    known: int = 0
    remarks: int = 0
    rejected: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many annotations the file had, of whatever kind."""
        return self.votes + self.known + self.remarks + len(self.rejected)


def to_tasks(votes: pd.DataFrame, remarks: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """Return Label Studio tasks with one annotation per counted vote, skip and verdict.

    A flag is a choice named ``flagged``, a comment a text named ``comment``, a skip a cancelled annotation with its
    ``skip_reason``, a verdict a ground truth with the rating ``verdict``.
    """
    tasks: dict[int, dict[str, Any]] = {}

    def annotations(row: Any) -> list[dict[str, Any]]:
        data = {name: getattr(row, name) for name in _IDENTITY}
        return tasks.setdefault(row.item_id, {"id": len(tasks) + 1, "data": data, "annotations": []})["annotations"]

    for row in counted(votes).itertuples():
        annotations(row).append(_annotation(row))
    for row in [] if remarks is None else remarks.itertuples():
        if row.stage in ("skip", "verdict"):
            annotations(row).append(_remark(row))
        else:
            annotations(row)
            tasks[row.item_id]["data"].setdefault("comments", []).append(f"{row.annotator}: {row.comment}")
    return list(tasks.values())


def _annotation(row: Any) -> dict[str, Any]:
    result = [_part("level", "rating", {"rating": int(row.level)})]
    if row.flagged:
        result.append(_part("flagged", "choices", {"choices": ["flagged"]}))
    result += _texts(comment=json.loads(row.payload).get("comment"))
    return {
        "id": row.event_id,
        "completed_by": {"email": row.annotator},
        "created_at": to_iso(row.created_at_us),
        "lead_time": None if pd.isna(row.seconds) else row.seconds,
        "was_cancelled": False,
        "result": result,
    }


def _remark(row: Any) -> dict[str, Any]:
    is_skip = row.stage == "skip"
    result = [] if is_skip else [_part("verdict", "rating", {"rating": int(row.level)})]
    return {
        "id": row.event_id,
        "completed_by": {"email": row.annotator},
        "created_at": to_iso(row.created_at_us),
        "lead_time": None,
        "was_cancelled": is_skip,
        "ground_truth": not is_skip,
        "result": result + _texts(skip_reason=row.reason, comment=row.comment),
    }


def _texts(**texts: str | None) -> list[dict[str, Any]]:
    return [
        _part(name, "textarea", {"text": [words]}) for name, words in texts.items() if isinstance(words, str) and words
    ]


def _part(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "pred", "type": kind, "value": value}


def read_tasks(path: Path) -> list[dict[str, Any]]:
    """Return the tasks of a Label Studio export, JSON or JSON_MIN, with or without a byte order mark.

    Raises:
        LabelStudioError: Not JSON, or not a list of tasks.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LabelStudioError(f"{path} is not JSON: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise LabelStudioError(f"{path} must be a list of Label Studio tasks")
    return [_from_min(task) if "annotations" not in task and "data" not in task else task for task in tasks]


def _from_min(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task of JSON_MIN, which holds one annotation flat beside the data, as JSON has it."""
    keys = {"level": "rating", "verdict": "rating", "flagged": "choices", "comment": "text", "skip_reason": "text"}
    result = []
    for name, kind in keys.items():
        if (given := task.get(name)) is not None:
            value = given if isinstance(given, dict) else {kind: given if kind == "rating" else [given]}
            result.append({"from_name": name, "value": value})
    annotation = {name: task.get(name) for name in ("created_at", "updated_at", "lead_time")}
    annotation |= {"id": task.get("annotation_id"), "completed_by": task.get("annotator"), "result": result}
    return {"id": task.get("id"), "data": dict(task), "annotations": [annotation]}


def import_tasks(connection: Connection, tasks: Iterable[Mapping[str, Any]], *, now_us: int) -> Imported:
    """Store the votes of Label Studio tasks; importing the same file again changes nothing.

    Triplets are found by ``item_key``, else by ``triplet_id`` among the items of the present manifest; pairs of
    predictions are not, since a level says nothing about which of two is worse. Annotators who
    have no account get one that cannot sign in. Of several annotations by one person the newest holds, also when it
    comes in a later file.
    """
    is_level = items.c.rival_sha256.is_(None)
    columns = (items.c.id, items.c.item_key, items.c.triplet_id, items.c.active)
    known_items = list(connection.execute(select(*columns).where(is_level)))
    by_key = {row.item_key: row.id for row in known_items}
    by_triplet = {row.triplet_id: row.id for row in known_items if row.active}
    pairs = set(connection.execute(select(items.c.triplet_id).where(items.c.active, ~is_level)).scalars())
    result = Imported()
    for task in tasks:
        found = task.get("data")
        data: Mapping[str, Any] = found if isinstance(found, dict) else {}
        item_id = by_key.get(str(data.get("item_key"))) or by_triplet.get(str(data.get("triplet_id")))
        annotations = [one for one in _listed(task.get("annotations")) if isinstance(one, dict)]
        for annotation in sorted(annotations, key=lambda one: _given_us(one, default=now_us)):
            label = f"task {task.get('id')}, annotation {annotation.get('id')}"
            try:
                if item_id is None:
                    what = f"{label}: triplet {data.get('triplet_id')!r}"
                    is_pair = str(data.get("triplet_id")) in pairs
                    why = "is compared in pairs now, and this is a level" if is_pair else "is not in the manifest"
                    raise LabelStudioError(f"{what} {why}")
                _import_one(connection, item_id, annotation, label, result, now_us=now_us)
            except (LabelStudioError, AccountError) as error:
                result.rejected.append(str(error))
    return result


def _import_one(
    connection: Connection, item_id: int, annotation: Mapping[str, Any], label: str, result: Imported, *, now_us: int
) -> None:
    at_us = _given_us(annotation, default=now_us)
    event = Event(kind="vote", at_us=at_us, item_id=item_id, payload={"imported_at": to_iso(now_us)})
    if annotation.get("was_cancelled"):
        _import_skip(connection, replace(event, kind="skip"), annotation, result, now_us=now_us)
    elif _value(annotation, "verdict"):
        level = _level(annotation, label, name="verdict")
        user_id = _annotator_id(connection, annotation, now_us=now_us)
        client_id = f"label-studio-verdict-{item_id}-{_digest(level, at_us)}"
        if events.find(connection, user_id=user_id, client_id=client_id) is not None:
            result.known += 1
            return
        details = {"comment": _words(annotation, "comment"), "imported_at": to_iso(now_us)}
        verdict = replace(event, kind="verdict", user_id=user_id, client_id=client_id, level=level, payload=details)
        events.append(connection, verdict)
        result.remarks += 1
    else:
        level = _level(annotation, label)
        user_id = _annotator_id(connection, annotation, now_us=now_us)
        details = {
            "chosen_by": "import",
            "imported_at": to_iso(now_us),
            "comment": _words(annotation, "comment"),
        }
        vote = replace(
            event,
            user_id=user_id,
            stage="work",
            level=level,
            seconds=_seconds(annotation.get("lead_time")),
            flagged=bool(_value(annotation, "flagged")),
            payload=details,
        )
        _import_vote(connection, vote, result)


def _import_vote(connection: Connection, vote: Event, result: Imported) -> None:
    assert vote.user_id is not None
    first_id = f"label-studio-{vote.item_id}"
    query = select(events_table).where(
        events_table.c.user_id == vote.user_id,
        events_table.c.kind == "vote",
        events_table.c.item_id == vote.item_id,
        events_table.c.client_id.startswith(first_id, autoescape=True),
    )
    before = connection.execute(query.order_by(events_table.c.created_at_us)).mappings().all()
    if not before:
        assignment_id = _voted_assignment(connection, vote)
        if assignment_id is None:
            result.known += 1
            return
        events.append(connection, replace(vote, client_id=first_id, assignment_id=assignment_id))
        result.votes += 1
        return
    newest = before[-1]
    current = connection.execute(text(_CURRENT), {"user_id": vote.user_id, "item_id": vote.item_id}).scalars().all()
    # Known: the same again, an older one, or one whose successor here is the annotator's own.
    if vote.level == newest["level"] or vote.at_us <= newest["created_at_us"] or list(current) != [newest["id"]]:
        result.known += 1
        return
    undo = Event(
        kind="undo",
        at_us=vote.at_us,
        user_id=vote.user_id,
        item_id=vote.item_id,
        assignment_id=newest["assignment_id"],
        target_id=newest["id"],
        level=newest["level"],
    )
    events.append(connection, undo)
    client_id = f"{first_id}-{_digest(vote.level, vote.at_us)}"
    events.append(connection, replace(vote, client_id=client_id, assignment_id=newest["assignment_id"]))
    result.votes += 1
    result.corrected += 1


def _import_skip(
    connection: Connection, skip: Event, annotation: Mapping[str, Any], result: Imported, *, now_us: int
) -> None:
    reason = _words(annotation, "skip_reason")
    user_id = _annotator_id(connection, annotation, now_us=now_us)
    client_id = f"label-studio-skip-{skip.item_id}"
    if events.find(connection, user_id=user_id, client_id=client_id) is not None:
        result.known += 1
        return
    skip = replace(skip, user_id=user_id, client_id=client_id, payload={**(skip.payload or {}), "reason": reason or ""})
    assignment_id = _voted_assignment(connection, skip, state="skipped")
    if assignment_id is None:  # voted on here: the skip is of no use
        result.known += 1
        return
    events.append(connection, replace(skip, assignment_id=assignment_id))
    result.remarks += 1


def _voted_assignment(connection: Connection, event: Event, *, state: str = "voted") -> int | None:
    """Return the annotator's assignment on the item, marked as voted; ``None`` where it has a vote already."""
    item_id, user_id, at_us = event.item_id, event.user_id, event.at_us
    mine = select(assignments.c.id, assignments.c.state).where(
        assignments.c.item_id == item_id, assignments.c.user_id == user_id, assignments.c.repeat_index == 0
    )
    values = {"kind": "work", "state": state, "chosen_by": "import", "reopened": 0}
    row = connection.execute(mine.with_for_update()).one_or_none()
    if row is None:
        values |= {"item_id": item_id, "user_id": user_id, "repeat_index": 0}
        values |= {"claimed_at_us": at_us, "lease_expires_at_us": at_us}
        return connection.execute(insert(assignments).values(values).returning(assignments.c.id)).scalar_one()
    if row.state in ("voted", "surplus", "excluded"):
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


def _value(annotation: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the value of the first part of the result with that name; empty where there is none."""
    for part in _listed(annotation.get("result")):
        value = part.get("value") if isinstance(part, dict) and part.get("from_name") == name else None
        if isinstance(value, dict):
            return value
    return {}


def _words(annotation: Mapping[str, Any], name: str) -> str | None:
    texts = _value(annotation, name).get("text")
    words = "\n".join(str(line) for line in (texts if isinstance(texts, list) else [texts]) if line)
    return words[:MAX_TEXT] or None


def _level(annotation: Mapping[str, Any], label: str, *, name: str = "level") -> int:
    value = _value(annotation, name)
    given = value.get("rating", next(iter(_listed(value.get("choices"))), None))
    level = _LEVEL.match("" if given is None or isinstance(given, bool) else str(given).strip())
    if level is None:
        raise LabelStudioError(f"{label}: {name} {given!r} must be 1, 2, 3 or 4")
    return int(level[1])


def _digest(level: int | None, at_us: int) -> str:
    return hashlib.sha256(f"{level} {at_us}".encode()).hexdigest()[:16]


def _annotator_id(connection: Connection, annotation: Mapping[str, Any], *, now_us: int) -> int:
    who = annotation.get("completed_by")
    name = str(who.get("email") or who.get("id") if isinstance(who, dict) else f"label-studio {who}")
    row = find_row(connection, check_name(name))
    return row["id"] if row is not None else add_account(connection, name, now_us=now_us).id


def _given_us(annotation: Mapping[str, Any], *, default: int) -> int:
    """Return when an annotation was given its present form."""
    return _time_us(annotation.get("updated_at"), default=_time_us(annotation.get("created_at"), default=default))


def _time_us(value: Any, *, default: int) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return default
    return (moment - _EPOCH) // timedelta(microseconds=1)

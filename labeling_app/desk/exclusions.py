"""Setting votes aside and taking them in again. The votes stay as they are: each step is an event of its own.

A vote set aside is in no consensus, agreement, completeness or export: the view ``current_votes`` leaves it out. The
place that it took is free again, for other people.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text

from labeling_app.database.events import Event, append_all, chunks
from labeling_app.desk.selection import Selection

# What an annotator answered in training or qualification counts nowhere, and decides how far they are.
STAGES = ("work", "gold", "repeat", "surplus")

_VOTES = """
SELECT v.id, v.item_id, v.assignment_id, v.stage, v.level, u.name{more}
FROM {view} v JOIN users u ON u.id = v.user_id
WHERE v.stage IN ('work', 'gold', 'repeat', 'surplus') AND v.item_id IN :items
    AND (CAST(:person AS text) IS NULL OR u.name = CAST(:person AS text))
    AND v.created_at_us >= :since_us AND v.created_at_us < :until_us
ORDER BY v.id
"""
_FREE_PLACES = """
UPDATE assignments SET state = 'excluded' WHERE id IN :ids AND state = 'voted'
AND NOT EXISTS (SELECT 1 FROM current_votes v WHERE v.assignment_id = assignments.id AND v.stage <> 'surplus')
"""
_STATES = "SELECT id, state FROM assignments WHERE id IN :ids"
_TAKE_PLACES = "UPDATE assignments SET state = 'voted' WHERE id IN :ids"


@dataclass
class Counted:
    """How many votes a step changed, by person; ``replaced``: left aside, since a newer vote stands in their place."""

    votes: int = 0
    replaced: int = 0
    people: dict[str, int] = field(default_factory=dict)
    items: set[int] = field(default_factory=set)

    def add(self, row: RowMapping) -> None:
        """Count one vote."""
        self.votes += 1
        self.people[row["name"]] = self.people.get(row["name"], 0) + 1
        self.items.add(row["item_id"])


@dataclass(frozen=True, kw_only=True)
class Step:
    """Who does something, when and why; ``batch`` is the same in all events of one step."""

    at_us: int
    user_id: int | None
    batch: str
    reason: str = ""

    def payload(self, **more: Any) -> dict[str, Any]:
        """Return what every event of the step says."""
        return {"batch": self.batch, **({"reason": self.reason} if self.reason else {}), **more}


def exclude(connection: Connection, items: Iterable[int], selection: Selection, step: Step) -> Counted:
    """Set the selected votes on ``items`` aside and return what changed."""
    rows = list(_select(connection, "current_votes", items, selection))
    _append(connection, "exclude", [(row, row["id"]) for row in rows], step)
    for ids in chunks(sorted({row["assignment_id"] for row in rows})):
        connection.execute(_expanding(_FREE_PLACES, "ids"), {"ids": list(ids)})
    return _count(rows)


def include(connection: Connection, items: Iterable[int], selection: Selection, step: Step) -> Counted:
    """Take the selected votes in again and return what changed; a newer vote by the same person keeps its place."""
    rows = list(_select(connection, "excluded_votes", items, selection, more=", v.exclusion_id"))
    newest = {row["assignment_id"]: row["id"] for row in rows if row["stage"] != "surplus"}
    states = _states(connection, newest)
    back = [
        row
        for row in rows
        if row["stage"] == "surplus"
        or (newest[row["assignment_id"]] == row["id"] and states[row["assignment_id"]] != "voted")
    ]
    _append(connection, "include", [(row, row["exclusion_id"]) for row in back], step)
    for ids in chunks(sorted({row["assignment_id"] for row in back if row["stage"] != "surplus"})):
        connection.execute(_expanding(_TAKE_PLACES, "ids"), {"ids": list(ids)})
    counted = _count(back)
    counted.replaced = len(rows) - len(back)
    return counted


def _select(
    connection: Connection, view: str, items: Iterable[int], selection: Selection, *, more: str = ""
) -> Iterator[RowMapping]:
    statement = _expanding(_VOTES.format(view=view, more=more), "items")
    values = {
        "person": selection.person,
        "since_us": selection.since_us or 0,
        "until_us": 2**62 if selection.until_us is None else selection.until_us,
    }
    for ids in chunks(sorted(items)):
        yield from connection.execute(statement, {**values, "items": list(ids)}).mappings()


def _states(connection: Connection, assignments: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for ids in chunks(sorted(assignments)):
        found |= {row.id: row.state for row in connection.execute(_expanding(_STATES, "ids"), {"ids": list(ids)})}
    return found


def _append(connection: Connection, kind: str, targets: Sequence[tuple[RowMapping, int]], step: Step) -> None:
    events = [
        Event(
            kind=kind,
            at_us=step.at_us,
            user_id=step.user_id,
            item_id=row["item_id"],
            assignment_id=row["assignment_id"],
            target_id=target,
            level=row["level"],
            payload=step.payload(),
        )
        for row, target in targets
    ]
    append_all(connection, events)


def _count(rows: Iterable[RowMapping]) -> Counted:
    counted = Counted()
    for row in rows:
        counted.add(row)
    return counted


def _expanding(statement: str, name: str) -> Any:
    return text(statement).bindparams(bindparam(name, expanding=True))

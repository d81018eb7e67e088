"""What an annotator did last: the items with their levels, flags, comments and skips, to correct one of them."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select, text

from labeling_app.accounts import Account
from labeling_app.annotation.state import ServerState
from labeling_app.database.events import load
from labeling_app.database.tables import assignments

LENGTH = 20

# Training and qualification are over once answered; what is gone from the manifest cannot be shown.
_VOTES = """
SELECT v.id, v.assignment_id, v.stage, v.level, v.flagged, v.created_at_us, v.payload FROM current_votes v
JOIN assignments a ON a.id = v.assignment_id JOIN items i ON i.id = v.item_id
WHERE v.user_id = :user_id AND a.kind IN ('work', 'gold', 'repeat') AND i.active ORDER BY v.id DESC LIMIT :limit
"""
_SKIPS = """
SELECT e.id, e.assignment_id, e.stage, e.level, e.flagged, e.created_at_us, e.payload FROM events e
JOIN assignments a ON a.id = e.assignment_id JOIN items i ON i.id = e.item_id
WHERE e.user_id = :user_id AND e.kind = 'skip' AND a.kind IN ('work', 'gold', 'repeat') AND a.state = 'skipped'
    AND i.active AND NOT EXISTS (SELECT 1 FROM events u WHERE u.kind = 'undo' AND u.target_id = e.id)
ORDER BY e.id DESC LIMIT :limit
"""


@dataclass(frozen=True)
class Done:
    """One item that was rated or skipped (``level`` ``None``), and the assignment to show it again."""

    event_id: int
    assignment: RowMapping
    level: int | None
    flagged: bool
    comment: str | None
    reason: str | None
    counted: bool
    created_at_us: int


def history(state: ServerState, user: Account, *, limit: int = LENGTH) -> list[Done]:
    """Return the last ``limit`` items that the annotator rated or skipped, newest first, each once."""
    with state.store.read(snapshot=True) as connection:
        rows = [*_rows(connection, _VOTES, user, limit), *_rows(connection, _SKIPS, user, limit)]
        newest: dict[int, RowMapping] = {}
        for row in sorted(rows, key=lambda row: -row["id"]):
            newest.setdefault(row["assignment_id"], row)
        query = select(assignments).where(assignments.c.id.in_(list(newest)))
        known = {row["id"]: row for row in connection.execute(query).mappings()}
    found = [_done(row, known[assignment]) for assignment, row in newest.items()]
    return [done for done in found if done.assignment["item_id"] in state.catalogue.by_id][:limit]


def last_skip(connection: Connection, user: Account, *, assignment_id: int | None = None) -> RowMapping | None:
    """Return the annotator's newest skip that still holds, of an assignment or of all, or ``None``."""
    rows = _rows(connection, _SKIPS, user, 1 if assignment_id is None else 10_000)
    return next((row for row in rows if assignment_id in (None, row["assignment_id"])), None)


def _rows(connection: Connection, statement: str, user: Account, limit: int) -> list[RowMapping]:
    return list(connection.execute(text(statement), {"user_id": user.id, "limit": limit}).mappings())


def _done(row: RowMapping, assignment: RowMapping) -> Done:
    details = load(row)
    return Done(
        event_id=row["id"],
        assignment=assignment,
        level=row["level"],
        flagged=bool(row["flagged"]),
        comment=details.get("comment"),
        reason=details.get("reason"),
        counted=row["level"] is not None and row["stage"] != "surplus",
        created_at_us=row["created_at_us"],
    )

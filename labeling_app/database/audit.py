"""The history of a triplet, event by event, and a check that the working state agrees with the log."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select, text

from dataset_tools.errors import VfiError
from labeling_app.database.events import of_item, to_iso
from labeling_app.database.tables import items, users

_DRIFTED = """
SELECT i.id FROM items i WHERE i.taken <> (
    SELECT COUNT(*) FROM assignments a
    WHERE a.item_id = i.id AND a.kind = 'work' AND a.state IN ('leased', 'voted'))
"""
# One pass over the votes: a look into the log per assignment takes minutes on a full set.
_UNVOTED = """
SELECT a.id FROM assignments a LEFT JOIN (
    SELECT assignment_id, COUNT(*) AS votes FROM current_votes WHERE stage <> 'surplus' GROUP BY assignment_id) v
ON v.assignment_id = a.id WHERE COALESCE(v.votes, 0) <> CASE WHEN a.state = 'voted' THEN 1 ELSE 0 END
"""


class AuditError(VfiError):
    """There is no such triplet, or the working state contradicts the log."""


def history(connection: Connection, triplet_id: str) -> list[dict[str, Any]]:
    """Return everything that ever happened to a triplet, oldest first, in all its versions of pixels.

    Raises:
        AuditError: The database knows no such triplet.
    """
    versions = connection.execute(select(items).where(items.c.triplet_id == triplet_id)).mappings().all()
    if not versions:
        raise AuditError(f"triplet {triplet_id!r} is not in the database")
    names = {row.id: row.name for row in connection.execute(select(users.c.id, users.c.name))}
    lines = []
    for version in versions:
        for row in of_item(connection, version["id"]):
            event = {
                "event": row["id"],
                "at": to_iso(row["created_at_us"]),
                "kind": row["kind"],
                "who": names.get(row["user_id"]),
                "pixels": version["item_key"][:12],
                "stage": row["stage"],
                "level": row["level"],
                "seconds": row["seconds"],
                "flagged": row["flagged"],
                "takes_back": row["target_id"],
            }
            known = {key: value for key, value in event.items() if value is not None}
            lines.append({**known, **json.loads(row["payload"])})
    return sorted(lines, key=lambda line: line["event"])


def to_lines(events: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one printable line per event; control characters in texts are escaped."""
    for event in events:
        rest = {key: value for key, value in event.items() if key not in ("event", "at", "kind", "who")}
        yield f"{event['at']}  #{event['event']}  {event['kind']:8}  {event.get('who') or '-'}  {json.dumps(rest)}"


def check_consistency(connection: Connection) -> None:
    """Check that quotas and states are what the log says.

    Raises:
        AuditError: An item's count or an assignment's state is wrong; names the first ones.
    """
    for statement, what in ((_DRIFTED, "count of taken places of item"), (_UNVOTED, "state of assignment")):
        wrong = list(connection.execute(text(statement)).scalars())
        if wrong:
            raise AuditError(f"the {what} {wrong[0]} contradicts the log ({len(wrong)} such); restore a backup")

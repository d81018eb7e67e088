"""Leases in the database: claim in one statement, renew, release.

The claim finds a free item, checks the quota and takes the lease in a single INSERT ... SELECT; a trigger counts it
into ``items.taken`` within the same statement. On PostgreSQL the item's row is locked while that happens, and the quota
is tested again on the row as it is then; on SQLite a writer is alone. Either way no item goes over its quota.
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, select, text

from labeling_app.annotation.assignments import Kind
from labeling_app.database.events import dump
from labeling_app.database.tables import assignments, items

_FREE = """
i.active AND (:kind <> 'work' OR :beyond_quota = 1 OR i.taken < i.overlap)
AND NOT EXISTS (
    SELECT 1 FROM assignments a
    WHERE a.item_id = i.id AND a.user_id = :user_id AND a.repeat_index = :repeat_index AND a.state <> 'released')
"""

_INSERT = """
INSERT INTO assignments (item_id, user_id, repeat_index, kind, state, chosen_by, claimed_at_us, lease_expires_at_us,
    reopened)
"""

# An assignment whose lease ran out is taken up again rather than doubled: one row per annotator and triplet.
_TAKE_UP_AGAIN = """
ON CONFLICT (item_id, user_id, repeat_index) DO UPDATE SET kind = excluded.kind, state = 'leased',
    chosen_by = excluded.chosen_by, claimed_at_us = excluded.claimed_at_us,
    lease_expires_at_us = excluded.lease_expires_at_us, reopened = 0
WHERE assignments.state = 'released'
RETURNING id, item_id
"""

_CLAIM_SQLITE = f"""
{_INSERT} SELECT i.id, :user_id, :repeat_index, :kind, 'leased',
    CASE WHEN i.id IN (SELECT value FROM json_each(:by_worth)) THEN 'worth' ELSE 'random' END, :now_us, :expires_us, 0
FROM json_each(:candidates) c CROSS JOIN items i
WHERE i.id = c.value AND {_FREE} ORDER BY c.key LIMIT 1 {_TAKE_UP_AGAIN}
"""

_CLAIM_POSTGRESQL = f"""
WITH picked AS MATERIALIZED (
    SELECT i.id FROM jsonb_array_elements_text(CAST(:candidates AS jsonb)) WITH ORDINALITY c(value, key)
    JOIN items i ON i.id = CAST(c.value AS integer)
    WHERE {_FREE} ORDER BY c.key LIMIT 1 FOR UPDATE OF i {{wait}})
{_INSERT} SELECT picked.id, :user_id, :repeat_index, :kind, 'leased',
    CASE WHEN CAST(:by_worth AS jsonb) @> to_jsonb(picked.id) THEN 'worth' ELSE 'random' END, :now_us, :expires_us, 0
FROM picked {_TAKE_UP_AGAIN}
"""

_RELEASE_EXPIRED = """
UPDATE assignments SET state = 'released' WHERE id IN (
    SELECT id FROM assignments WHERE state = 'leased' AND lease_expires_at_us < :now_us ORDER BY item_id {lock})
"""

_OPEN_ITEMS = f"SELECT i.id FROM items i WHERE {_FREE}"

_ASKED = """
SELECT q.item_id FROM asked q JOIN items i ON i.id = q.item_id
WHERE q.user_id = :user_id AND i.active AND NOT EXISTS (
    SELECT 1 FROM assignments a
    WHERE a.item_id = q.item_id AND a.user_id = :user_id AND a.repeat_index = 0 AND a.state <> 'released')
ORDER BY q.id LIMIT 64
"""

_LEASED_BY_OTHERS = """
SELECT 1 FROM assignments o JOIN items i ON i.id = o.item_id
WHERE o.state = 'leased' AND o.kind = 'work' AND o.user_id <> :user_id AND i.active AND NOT EXISTS (
    SELECT 1 FROM assignments a WHERE a.item_id = o.item_id AND a.user_id = :user_id AND a.state <> 'released')
LIMIT 1
"""


@dataclass(frozen=True)
class Claim:
    """What is asked for: the first free one of ``candidates`` (item ids, in order)."""

    user_id: int
    candidates: Sequence[int]
    kind: Kind
    now_us: int
    expires_us: int
    beyond_quota: bool = False  # of items given to this person at the desk


def claim(
    connection: Connection, wanted: Claim, *, by_worth: Set[int] = frozenset(), wait: bool = False
) -> tuple[int, int] | None:
    """Take a lease on the first free candidate and return (assignment id, item id), or ``None``.

    Args:
        connection: In a write transaction of its own; on PostgreSQL after ``Store.lock_user``.
        wanted: Who wants which items, and why.
        by_worth: Candidates that stand where they do for what a vote on them says; the others stand there by chance.
        wait: Wait for items that another claim is just deciding on, instead of passing over them (PostgreSQL): slower,
            but ``None`` then really means that none is free.
    """
    sqlite = connection.dialect.name == "sqlite"
    statement = _CLAIM_SQLITE if sqlite else _CLAIM_POSTGRESQL.format(wait="" if wait else "SKIP LOCKED")
    values = {
        "user_id": wanted.user_id,
        "candidates": dump(list(wanted.candidates)),
        "kind": wanted.kind,
        "repeat_index": 1 if wanted.kind == "repeat" else 0,
        "by_worth": dump([item for item in wanted.candidates if item in by_worth]),
        "beyond_quota": int(wanted.beyond_quota),
        "now_us": wanted.now_us,
        "expires_us": wanted.expires_us,
    }
    row = connection.execute(text(statement), values).one_or_none()
    return None if row is None else (row.id, row.item_id)


def release_expired(connection: Connection, *, now_us: int) -> int:
    """Free all assignments whose lease has run out and return how many."""
    lock = "" if connection.dialect.name == "sqlite" else "FOR UPDATE SKIP LOCKED"
    statement = text(_RELEASE_EXPIRED.format(lock=lock))
    return connection.execute(statement, {"now_us": now_us}).rowcount


def release_all(connection: Connection, *, user_id: int) -> int:
    """Free what an annotator holds (on sign-out) and return how many assignments that were."""
    change = assignments.update().where(assignments.c.user_id == user_id, assignments.c.state == "leased")
    return connection.execute(change.values(state="released")).rowcount


def renew(connection: Connection, *, user_id: int, ids: Sequence[int] | None, expires_us: int) -> list[int]:
    """Extend an annotator's leases (all, or those of ``ids``) and return the assignments that are still theirs."""
    change = assignments.update().where(assignments.c.user_id == user_id, assignments.c.state == "leased")
    if ids is not None:
        change = change.where(assignments.c.id.in_(ids))
    change = change.values(lease_expires_at_us=expires_us).returning(assignments.c.id)
    return sorted(connection.execute(change).scalars())


def held(connection: Connection, *, user_id: int) -> list[RowMapping]:
    """Return an annotator's leased assignments in the order to show: reopened ones first, the last undone foremost."""
    query = select(assignments).where(assignments.c.user_id == user_id, assignments.c.state == "leased")
    query = query.order_by(assignments.c.reopened.desc(), assignments.c.claimed_at_us, assignments.c.id)
    return list(connection.execute(query).mappings())


def open_items(connection: Connection, *, user_id: int) -> list[int]:
    """Return all items that this annotator could claim for work now, in no order."""
    values = {"user_id": user_id, "kind": "work", "repeat_index": 0, "beyond_quota": 0}
    return list(connection.execute(text(_OPEN_ITEMS), values).scalars())


def asked_items(connection: Connection, *, user_id: int) -> list[int]:
    """Return the items that this annotator was given at the desk and has not answered yet, oldest first."""
    return list(connection.execute(text(_ASKED), {"user_id": user_id}).scalars())


def others_hold_work(connection: Connection, *, user_id: int) -> bool:
    """Return whether somebody else's live lease is on an item that this annotator has not seen: it may come free."""
    return connection.execute(text(_LEASED_BY_OTHERS), {"user_id": user_id}).first() is not None


def touched(connection: Connection, *, user_id: int) -> dict[tuple[int, int], tuple[str, str]]:
    """Return {(item id, repeat index): (kind, state)} of everything an annotator has or had."""
    columns = (assignments.c.item_id, assignments.c.repeat_index, assignments.c.kind, assignments.c.state)
    rows = connection.execute(select(*columns).where(assignments.c.user_id == user_id).order_by(assignments.c.id))
    return {(row.item_id, row.repeat_index): (row.kind, row.state) for row in rows}


def num_open(connection: Connection, *, apart_from: Collection[int] = ()) -> int:
    """Return how many items still want a vote, for everyone together; gold items (``apart_from``) have no quota."""
    query = select(func.count()).select_from(items).where(items.c.active, items.c.taken < items.c.overlap)
    return connection.execute(query.where(items.c.id.not_in(apart_from))).scalar_one()

"""Asking again: more votes on items, by others or by all, also where the quota is met; items given to a person."""

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, text, update

from labeling_app.accounts import Account
from labeling_app.database.events import Event, append_all, chunks
from labeling_app.database.tables import asked, items
from labeling_app.desk.exclusions import Counted, Step, exclude
from labeling_app.desk.selection import Selection

To = Literal["others", "all"]

_REOPEN = """
UPDATE assignments SET state = 'released' WHERE item_id IN :items AND repeat_index = 0 AND kind = 'work'
AND state IN ('excluded', 'skipped'){whose}
"""

# People who could still be given the item: they have an account, and neither voted on it nor skipped it.
_MISSING = """
SELECT i.id, i.overlap - i.taken AS missing, (
    SELECT COUNT(*) FROM assignments a JOIN users u ON u.id = a.user_id
    WHERE a.item_id = i.id AND a.repeat_index = 0 AND a.state <> 'released' AND {who}) AS busy
FROM items i WHERE i.id IN :items AND i.active AND i.taken < i.overlap ORDER BY i.id
"""


def ask_again(connection: Connection, chosen: Iterable[int], step: Step, *, to: To, votes: int = 1) -> Counted:
    """Want more votes on the items and return what changed.

    ``others``: ``votes`` more than are there or were wanted, by people who have not seen the item. ``all``: the
    present votes are set aside (``include`` takes them in again), and everybody may be asked, also who skipped it.
    """
    ids = sorted(chosen)
    if to == "all":
        counted = exclude(connection, ids, Selection(), step)
        _update_items(connection, _REOPEN.format(whose=""), ids)
    else:
        counted = Counted()
        for row in _items(connection, ids):
            _want(connection, row, max(row["overlap"], row["taken"]) + votes)
    _append(connection, "ask_again", ids, step, to=to, votes=votes)
    counted.items = set(ids)
    return counted


def assign(connection: Connection, chosen: Iterable[int], step: Step, *, person: Account) -> Counted:
    """Give the items to one person, before everything else; an earlier vote of theirs is set aside."""
    ids = sorted(chosen)
    counted = exclude(connection, ids, Selection({"person": person.name}), step)
    _update_items(connection, _REOPEN.format(whose=" AND user_id = :user_id"), ids, user_id=person.id)
    for row in _items(connection, ids):
        if row["taken"] >= row["overlap"]:
            _want(connection, row, row["taken"] + 1)
    for part in chunks(ids):
        connection.execute(delete(asked).where(asked.c.user_id == person.id, asked.c.item_id.in_(part)))
        rows = [{"item_id": item, "user_id": person.id, "created_at_us": step.at_us} for item in part]
        connection.execute(insert(asked), rows)
    _append(connection, "assign", ids, step, to=person.name)
    counted.items = set(ids)
    return counted


def too_few_people(connection: Connection, chosen: Iterable[int]) -> list[int]:
    """Return the items that want more votes than there are people left who could give them."""
    can_sign_in = "(password_hash IS NOT NULL OR token_sha256 IS NOT NULL)"
    accounts = connection.execute(text(f"SELECT 1 FROM users WHERE NOT disabled AND {can_sign_in} LIMIT 1")).first()
    who = f"NOT disabled AND {can_sign_in}" if accounts is not None else "NOT disabled"  # open mode: a name is enough
    people = connection.execute(text(f"SELECT COUNT(*) FROM users WHERE {who}")).scalar_one()
    statement = text(_MISSING.format(who=who)).bindparams(bindparam("items", expanding=True))
    found: list[int] = []
    for part in chunks(sorted(chosen)):
        rows = connection.execute(statement, {"items": list(part)})
        found += [row.id for row in rows if row.missing > people - row.busy]
    return found


def _items(connection: Connection, ids: list[int]) -> list[RowMapping]:
    columns = (items.c.id, items.c.overlap, items.c.extra, items.c.taken)
    found: list[RowMapping] = []
    for part in chunks(ids):
        query = select(*columns).where(items.c.id.in_(part)).order_by(items.c.id)
        found += connection.execute(query).mappings()
    return found


def _want(connection: Connection, row: RowMapping, votes: int) -> None:
    change = update(items).where(items.c.id == row["id"])
    connection.execute(change.values(overlap=votes, extra=row["extra"] + votes - row["overlap"]))


def _update_items(connection: Connection, statement: str, ids: list[int], **values: Any) -> None:
    for part in chunks(ids):
        change = text(statement).bindparams(bindparam("items", expanding=True))
        connection.execute(change, {"items": list(part), **values})


def _append(connection: Connection, kind: str, ids: list[int], step: Step, **details: Any) -> None:
    events = [
        Event(kind=kind, at_us=step.at_us, user_id=step.user_id, item_id=item, payload=step.payload(**details))
        for item in ids
    ]
    append_all(connection, events)

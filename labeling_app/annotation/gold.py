"""Gold items from a table: triplets whose level is known, for training, qualification and hidden checks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from dataset_tools.errors import UsageError
from dataset_tools.levels import LEVELS
from labeling_app.annotation.assignments import Gold
from labeling_app.annotation.pairing import check_answer
from labeling_app.database.events import Event, append, load, of_kind
from labeling_app.database.tables import items

PURPOSES = ("training", "qualification", "gold")


@dataclass(frozen=True)
class GoldRow:
    """One line of a gold file; ``level`` ``None`` makes the triplet ordinary again."""

    triplet_id: str
    level: int | None
    purpose: str
    note: str


def read_gold_file(lines: Iterable[Mapping[str, str | None]], *, name: str) -> list[GoldRow]:
    """Return the rows of a gold table.

    Raises:
        UsageError: A column is missing, a level or purpose is not one, or a triplet stands twice; names the line.
    """
    rows: list[GoldRow] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=2):
        triplet_id, level = (line.get("triplet_id") or "").strip(), (line.get("level") or "").strip()
        purpose = (line.get("purpose") or "").strip() or "gold"
        if not triplet_id:
            raise UsageError(f"{name}, line {number}: triplet_id is missing")
        if level not in ("", *map(str, LEVELS)):
            raise UsageError(f"{name}, line {number}: level {level!r} must be {', '.join(map(str, LEVELS))} or empty")
        if purpose not in PURPOSES:
            raise UsageError(f"{name}, line {number}: purpose {purpose!r} must be one of {', '.join(PURPOSES)}")
        if (first := first_line.setdefault(triplet_id, number)) != number:
            raise UsageError(f"{name}, line {number}: triplet {triplet_id!r} stands in line {first} already; keep one")
        rows.append(GoldRow(triplet_id, int(level) if level else None, purpose, (line.get("note") or "").strip()))
    if not rows:
        raise UsageError(f"{name} holds no rows; its first line must name the columns triplet_id and level")
    return rows


def store_gold_rows(connection: Connection, rows: Sequence[GoldRow], *, now_us: int) -> list[str]:
    """Store each row as an event and return the triplets that the present manifest does not hold."""
    query = select(items.c.triplet_id, items.c.id, items.c.rival_sha256).where(items.c.active)
    found = {row.triplet_id: row for row in connection.execute(query)}
    missing = []
    for row in rows:
        item = found.get(row.triplet_id)
        if item is None:
            missing.append(row.triplet_id)
            continue
        try:
            check_answer(row.level, is_pair=[item.rival_sha256 is not None])
        except UsageError as error:
            raise UsageError(f"triplet {row.triplet_id!r}: {error}") from error
        item_id = item.id
        details = {"purpose": row.purpose, "note": row.note}
        append(connection, Event(kind="gold", at_us=now_us, item_id=item_id, level=row.level, payload=details))
    return missing


def read_gold(connection: Connection) -> dict[int, Gold]:
    """Return the gold items by item id: the newest event about each item decides, a null level ends it."""
    found: dict[int, Gold] = {}
    for row in of_kind(connection, "gold"):
        if row["level"] is None:
            found.pop(row["item_id"], None)
            continue
        details = load(row)
        found[row["item_id"]] = Gold(row["item_id"], row["level"], details["purpose"], details.get("note", ""))
    return found

"""The reviewer's queue: triplets whose votes lie two levels apart or more, until somebody decides. Raw votes stay."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from labeling_app.accounts import Account
from labeling_app.annotation.assignments import SPREAD_TO_REVIEW
from labeling_app.annotation.pairing import check_answer
from labeling_app.annotation.state import ServerState
from labeling_app.annotation.voting import ConflictError, NotYoursError
from labeling_app.database import events
from labeling_app.database.events import Event, to_iso
from labeling_app.database.tables import items
from labeling_app.schemas import GoldRequest, ReviewItem, ReviewRequest, ReviewResponse, ReviewVote

# A vote after the verdict brings the triplet back only if the votes still disagree: a person looks again.
_DISAGREEING = """
SELECT v.item_id FROM current_votes v JOIN items i ON i.id = v.item_id
WHERE v.stage IN ('work', 'gold') AND i.active GROUP BY v.item_id
HAVING MAX(v.level) - MIN(v.level) >= :spread AND MAX(v.id) > COALESCE(
    (SELECT MAX(d.id) FROM events d WHERE d.kind = 'verdict' AND d.item_id = v.item_id), 0)
ORDER BY MIN(v.id)
"""

_VOTES = """
SELECT u.name AS annotator, v.level, v.created_at_us, v.seconds, v.flagged, v.payload
FROM current_votes v JOIN users u ON u.id = v.user_id
WHERE v.item_id = :item_id AND v.stage IN ('work', 'gold') ORDER BY v.id
"""


def disputed_items(connection: Connection) -> list[int]:
    """Return the items of the present manifest that wait for a verdict, by their first vote."""
    return list(connection.execute(text(_DISAGREEING), {"spread": SPREAD_TO_REVIEW}).scalars())


def review_queue(state: ServerState, *, limit: int) -> ReviewResponse:
    """Return the first ``limit`` triplets that wait for a verdict, with their votes."""
    with state.store.read() as connection:
        known = [item for item in disputed_items(connection) if item in state.catalogue.by_id]
        shown = [_item(state, connection, item) for item in known[:limit]]
    return ReviewResponse(items=shown, total=len(known))


def store_verdict(state: ServerState, user: Account, request: ReviewRequest) -> bool:
    """Store a reviewer's verdict and return whether it was a retry."""
    details = {"comment": request.comment or None}
    return _store(state, user, "verdict", request.verdict_id, request.item_id, request.level, details)


def store_gold(state: ServerState, user: Account, request: GoldRequest) -> bool:
    """Make an item gold, or ordinary again, and return whether it was a retry."""
    details = {"purpose": request.purpose, "note": request.note}
    duplicate = _store(state, user, "gold", request.gold_id, request.item_id, request.level, details)
    state.refresh(force=True)
    return duplicate


def check_levels(connection: Connection, item_ids: Sequence[int], level: int | None) -> None:
    """Check a level that a lead is about to give to items.

    Raises:
        NotYoursError: One of them does not exist.
        UsageError: It is none of a pair's answers, and one of them is a pair.
    """
    rivals: dict[int, str | None] = {}
    for ids in events.chunks(item_ids):
        query = select(items.c.id, items.c.rival_sha256).where(items.c.id.in_(ids))
        rivals |= {row.id: row.rival_sha256 for row in connection.execute(query)}
    for item_id in item_ids:
        if item_id not in rivals:
            raise NotYoursError(f"there is no item {item_id}")
    check_answer(level, is_pair=[rival is not None for rival in rivals.values()])


def _store(
    state: ServerState,
    user: Account,
    kind: str,
    client_id: str,
    item_id: int,
    level: int | None,
    details: dict[str, Any],
) -> bool:
    def work(connection: Connection) -> bool:
        state.store.lock_user(connection, user.id)
        known = events.find(connection, user_id=user.id, client_id=client_id)
        if known is not None:
            if (known["kind"], known["item_id"], known["level"]) != (kind, item_id, level):
                raise ConflictError(f"{kind}_id {client_id} was used for something else; make a new one")
            return True
        check_levels(connection, [item_id], level)
        event = Event(
            kind=kind,
            at_us=state.clock(),
            user_id=user.id,
            client_id=client_id,
            item_id=item_id,
            level=level,
            payload=details,
        )
        events.append(connection, event)
        return False

    return state.store.transact(work)


def _item(state: ServerState, connection: Connection, item_id: int) -> ReviewItem:
    info = state.catalogue.by_id[item_id]
    rows = connection.execute(text(_VOTES), {"item_id": item_id}).mappings()
    return ReviewItem(
        **info.told_to_lead(state.image_addresses(item_id)),
        votes=[
            ReviewVote(
                annotator=row["annotator"],
                level=row["level"],
                created_at=to_iso(row["created_at_us"]),
                seconds=row["seconds"],
                flagged=bool(row["flagged"]),
                comment=events.load(row).get("comment"),
            )
            for row in rows
        ],
    )

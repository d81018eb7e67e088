"""What an annotator does with an item: vote, undo, skip, comment. Each is one transaction and one event.

Every call carries an id made by the client. A retry finds the event of the first try and gets the same answer, so a
lost connection can neither lose a vote nor double it. When a function returns, the event is on disk.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text, update

from dataset_tools.errors import VfiError
from dataset_tools.levels import LEVEL_MEANINGS, LEVEL_NAMES
from labeling_app.accounts import Account
from labeling_app.annotation.assignments import stage_of_vote, within_one
from labeling_app.annotation.claims import release_all, renew
from labeling_app.annotation.history import last_skip
from labeling_app.annotation.serving import lease_end_us
from labeling_app.annotation.sides import Given, given
from labeling_app.annotation.state import ServerState
from labeling_app.database import events
from labeling_app.database.events import Event
from labeling_app.database.tables import assignments, items
from labeling_app.schemas import Feedback, VoteRequest

# Not from training or qualification: a training answer was followed by its solution. Nor on pixels that are gone: the
# page could not show them again, so that vote would be taken back for good.
_LAST_VOTE = """
SELECT v.id, v.assignment_id, v.level, v.stage FROM current_votes v
JOIN assignments a ON a.id = v.assignment_id JOIN items i ON i.id = v.item_id
WHERE v.user_id = :user_id AND a.kind IN ('work', 'gold', 'repeat') AND i.active ORDER BY v.id DESC LIMIT 1
"""
_VOTE_OF = "SELECT id, level, stage FROM current_votes WHERE assignment_id = :id ORDER BY id DESC LIMIT 1"
_OTHER_VOTES = "SELECT 1 FROM current_votes WHERE user_id = :user_id AND item_id = :item_id AND assignment_id = :id"


class NotYoursError(VfiError):
    """The assignment does not exist or belongs to somebody else; the two are not told apart."""

    code = "not_yours"


class ConflictError(VfiError):
    """The request contradicts what is stored: an id used twice for different things, a vote on a skipped item."""

    code = "conflict"


@dataclass(frozen=True)
class Voted:
    """What became of a vote."""

    duplicate: bool
    counted: bool
    feedback: Feedback | None


def vote(state: ServerState, user: Account, request: VoteRequest) -> Voted:
    """Store a vote and return what became of it; it is on disk then.

    A vote whose lease ran out counts while the quota has room, else it is stored as surplus. One that ``corrects``
    takes back the annotator's vote or skip on the same item and stands in its place, others stay untouched.

    Raises:
        NotYoursError: No such assignment of this annotator.
        ConflictError: ``vote_id`` was used for another vote, or the item was skipped or set aside.
        AnswerError: A level for a pair, or a side for a single prediction.
    """

    def work(connection: Connection) -> Voted:
        state.store.lock_user(connection, user.id)
        known = events.find(connection, user_id=user.id, client_id=request.vote_id)
        if known is not None:
            same = (known["kind"], known["assignment_id"]) == ("vote", request.assignment_id)
            if not same or known["level"] != given(state, connection, request, known["item_id"]).level:
                raise ConflictError(f"vote_id {request.vote_id} was used for something else; make a new one")
            feedback = _feedback(state, known["stage"], known["item_id"], known["level"])
            return Voted(duplicate=True, counted=known["stage"] != "surplus", feedback=feedback)
        row = _own_assignment(connection, user, request.assignment_id)
        answer = given(state, connection, request, row["item_id"])
        stage = _stage(connection, row)
        if request.corrects:
            stage = _take_back(state, connection, user, row) or stage
        if stage is None:
            raise ConflictError(f"assignment {row['id']} is {row['state']}; it cannot take a vote")
        if row["state"] in ("leased", "released", "skipped"):
            new_state = "surplus" if stage == "surplus" else "voted"
            connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(state=new_state))
        events.append(connection, _vote_event(state, user, request, row, stage, answer))
        feedback = _feedback(state, stage, row["item_id"], answer.level)
        return Voted(duplicate=False, counted=stage != "surplus", feedback=feedback)

    return state.store.transact(work)


def _take_back(state: ServerState, connection: Connection, user: Account, row: RowMapping) -> str | None:
    """Take back the vote or skip that a correction replaces and return the stage of the new vote; ``None``: nothing."""
    if row["kind"] not in ("work", "gold", "repeat"):
        return None
    before = connection.execute(text(_VOTE_OF), {"id": row["id"]}).mappings().one_or_none()
    if before is not None:
        events.append(connection, _undo_event(state, user, row, before))
        return before["stage"]
    skipped = last_skip(connection, user, assignment_id=row["id"])
    if row["state"] != "skipped" or skipped is None:
        return None
    events.append(connection, _undo_event(state, user, row, skipped))
    return row["kind"] if _has_room(connection, row) else "surplus"


def _undo_event(
    state: ServerState, user: Account, row: RowMapping, target: RowMapping, *, undo_id: str | None = None
) -> Event:
    return Event(
        kind="undo",
        at_us=state.clock(),
        user_id=user.id,
        client_id=undo_id,
        item_id=row["item_id"],
        assignment_id=row["id"],
        target_id=target["id"],
        level=target["level"],
    )


def undo(state: ServerState, user: Account, undo_id: str) -> tuple[RowMapping, int | None] | None:
    """Take back the latest vote or skip and return (the reopened assignment, the level it had), or ``None``.

    A skip had no level. What was done stays in the log; the undo is an event of its own. The item comes first in line,
    except where its place is somebody else's by now.

    Raises:
        ConflictError: ``undo_id`` was used for something else.
    """

    def work(connection: Connection) -> tuple[RowMapping, int | None] | None:
        state.store.lock_user(connection, user.id)
        known = events.find(connection, user_id=user.id, client_id=undo_id)
        if known is not None:
            if known["kind"] != "undo":
                raise ConflictError(f"undo_id {undo_id} was used for something else; make a new one")
            return _own_assignment(connection, user, known["assignment_id"]), known["level"]
        voted = connection.execute(text(_LAST_VOTE), {"user_id": user.id}).mappings().one_or_none()
        skipped = last_skip(connection, user)
        last = max((one for one in (voted, skipped) if one is not None), key=lambda one: one["id"], default=None)
        if last is None:
            return None
        row = _own_assignment(connection, user, last["assignment_id"])
        reopened = events.append(connection, _undo_event(state, user, row, last, undo_id=undo_id))
        values: dict[str, Any] = {"state": "leased", "reopened": reopened, "lease_expires_at_us": lease_end_us(state)}
        if last["stage"] == "surplus":
            others = connection.execute(
                text(_OTHER_VOTES), {"user_id": user.id, "item_id": row["item_id"], "id": row["id"]}
            ).first()
            values = {"state": row["state"] if others is not None else "released"}
        elif last is skipped and not _has_room(connection, row):
            values = {"state": "released"}
        connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(values))
        return _own_assignment(connection, user, row["id"]), last["level"]

    return state.store.transact(work)


@dataclass(frozen=True)
class Undone:
    """What was said with the vote or skip that was taken back, to go on from there."""

    skipped: bool
    flagged: bool
    comment: str | None


def undone(state: ServerState, user: Account, undo_id: str) -> Undone | None:
    """Return what the undo of that id took back, or ``None``."""
    with state.store.read() as connection:
        event = events.find(connection, user_id=user.id, client_id=undo_id)
        target = None if event is None else events.by_id(connection, event["target_id"])
    if target is None:
        return None
    return Undone(target["kind"] == "skip", bool(target["flagged"]), events.load(target).get("comment"))


def skip(state: ServerState, user: Account, *, skip_id: str, assignment_id: int, reason: str) -> bool:
    """Leave an item to others and return whether this was a retry; it is not shown to this annotator again.

    Raises:
        NotYoursError: No such assignment of this annotator.
        ConflictError: The id was used for something else, or the item has a vote (undo it first).
    """

    def work(connection: Connection) -> bool:
        state.store.lock_user(connection, user.id)
        if _is_retry(connection, user, "skip", skip_id, assignment_id):
            return True
        row = _own_assignment(connection, user, assignment_id)
        if row["state"] not in ("leased", "released", "skipped"):
            raise ConflictError(f"assignment {assignment_id} has a vote; undo it before skipping")
        connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(state="skipped"))
        events.append(connection, _remark(state, user, "skip", skip_id, row, {"reason": reason}))
        return False

    return state.store.transact(work)


def comment(state: ServerState, user: Account, *, comment_id: str, assignment_id: int, words: str) -> bool:
    """Store a remark on an item and return whether this was a retry.

    Raises:
        NotYoursError: No such assignment of this annotator.
        ConflictError: The id was used for something else.
    """

    def work(connection: Connection) -> bool:
        state.store.lock_user(connection, user.id)
        if _is_retry(connection, user, "comment", comment_id, assignment_id):
            return True
        row = _own_assignment(connection, user, assignment_id)
        events.append(connection, _remark(state, user, "comment", comment_id, row, {"text": words}))
        return False

    return state.store.transact(work)


def heartbeat(state: ServerState, user: Account, ids: list[int]) -> tuple[list[int], int]:
    """Renew leases and return (the assignments that are still this annotator's, when they run out)."""
    expires_us = lease_end_us(state)
    if not ids:
        return [], expires_us
    return state.store.transact(
        lambda connection: renew(connection, user_id=user.id, ids=ids, expires_us=expires_us)
    ), expires_us


def leave(state: ServerState, user: Account) -> int:
    """Release what the annotator holds, on sign-out, and return how many items that were."""
    return state.store.transact(lambda connection: release_all(connection, user_id=user.id))


def save_settings(state: ServerState, user: Account, settings: dict[str, Any]) -> None:
    """Store the annotator's page settings (keys, language); the newest event holds."""
    event = Event(kind="settings", at_us=state.clock(), user_id=user.id, payload=settings)
    state.store.transact(lambda connection: events.append(connection, event))


def shows_real_first(state: ServerState, assignment_id: int) -> bool:
    """Return whether image ``a`` of a blind item is the real frame; fixed per assignment, unknown to the page."""
    digest = hashlib.sha256(state.secret + f"blind:{assignment_id}".encode()).digest()
    return digest[0] % 2 == 0


def _own_assignment(connection: Connection, user: Account, assignment_id: int) -> RowMapping:
    query = select(assignments).where(assignments.c.id == assignment_id, assignments.c.user_id == user.id)
    # Locked on PostgreSQL: or the lease runs out and its place goes to somebody else between this look and the vote.
    query = query.with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotYoursError(f"assignment {assignment_id} is not yours")
    return row


def _has_room(connection: Connection, row: RowMapping) -> bool:
    """Return whether one more vote or lease of this kind is wanted on the assignment's item."""
    query = select(items.c.taken, items.c.overlap).where(items.c.id == row["item_id"]).with_for_update()
    quota = connection.execute(query).one()
    return row["kind"] != "work" or quota.taken < quota.overlap


def _stage(connection: Connection, row: RowMapping) -> str | None:
    query = select(items.c.taken, items.c.overlap).where(items.c.id == row["item_id"])
    if row["state"] == "released":
        # Another annotator may be claiming the last place just now: look at the item once that is decided.
        query = query.with_for_update()
    quota = connection.execute(query).one()
    return stage_of_vote(row["state"], row["kind"], taken=quota.taken, overlap=quota.overlap)


def _vote_event(
    state: ServerState, user: Account, request: VoteRequest, row: RowMapping, stage: str, answer: Given
) -> Event:
    details: dict[str, Any] = {"comment": request.comment or None, "chosen_by": row["chosen_by"]}
    if answer.pred_left is not None:
        details |= {"worse": request.worse, "left": "pred" if answer.pred_left else "rival"}
    if request.view is not None:
        details["view"] = request.view.model_dump()
    if request.blind_choice is not None:
        details["blind_choice"] = request.blind_choice
        details["blind_correct"] = (request.blind_choice == "a") == shows_real_first(state, row["id"])
    return Event(
        kind="vote",
        at_us=state.clock(),
        user_id=user.id,
        client_id=request.vote_id,
        item_id=row["item_id"],
        assignment_id=row["id"],
        stage=stage,
        level=answer.level,
        seconds=request.seconds,
        flagged=request.flagged,
        payload=details,
    )


def _remark(
    state: ServerState, user: Account, kind: str, client_id: str, row: RowMapping, details: dict[str, Any]
) -> Event:
    return Event(
        kind=kind,
        at_us=state.clock(),
        user_id=user.id,
        client_id=client_id,
        item_id=row["item_id"],
        assignment_id=row["id"],
        payload=details,
    )


def _is_retry(connection: Connection, user: Account, kind: str, client_id: str, assignment_id: int) -> bool:
    known = events.find(connection, user_id=user.id, client_id=client_id)
    if known is None:
        return False
    if (known["kind"], known["assignment_id"]) != (kind, assignment_id):
        raise ConflictError(f"{kind}_id {client_id} was used for something else; make a new one")
    return True


def _feedback(state: ServerState, stage: str, item_id: int, level: int) -> Feedback | None:
    gold = state.gold.get(item_id)
    if stage != "training" or gold is None:
        return None
    return Feedback(
        expected_level=gold.level,
        given_level=level,
        within_one=within_one(level, gold.level),
        sentence=gold.note or f"{gold.level} {LEVEL_NAMES[gold.level]}: {LEVEL_MEANINGS[gold.level]}.",
    )

"""A failed qualification may be taken again, a few times; every try stays in the log."""

from sqlalchemy import Connection, select, text, update

from labeling_app.accounts import Account
from labeling_app.annotation.claims import touched
from labeling_app.annotation.serving import round_items
from labeling_app.annotation.state import ServerState
from labeling_app.annotation.voting import ConflictError
from labeling_app.database.events import Event, append, append_all, chunks, find
from labeling_app.database.tables import assignments, users

_VOTES = """
SELECT id, item_id, assignment_id, level FROM current_votes
WHERE user_id = :user_id AND stage = 'qualification' ORDER BY id
"""
_LEFT = """
SELECT COUNT(*) FROM events WHERE user_id = :user_id AND kind = 'retake'
"""


def retakes_left(state: ServerState, user: Account) -> int:
    """Return how often the annotator may take the qualification again."""
    with state.store.read() as connection:
        return _left(state, connection, user)


def retake(state: ServerState, user: Account, *, retake_id: str) -> bool:
    """Begin the qualification anew and return whether this was a retry of the request.

    Raises:
        ConflictError: No try is left, or the round is still going on.
    """

    def work(connection: Connection) -> bool:
        state.store.lock_user(connection, user.id)
        if find(connection, user_id=user.id, client_id=retake_id) is not None:
            return True
        stage = connection.execute(select(users.c.stage).where(users.c.id == user.id)).scalar_one()
        states = touched(connection, user_id=user.id)
        ends = [states.get((item, 0), ("", ""))[1] for item in round_items(state, "qualification")]
        is_over = all(end in ("voted", "skipped", "surplus") for end in ends)
        left = _left(state, connection, user)
        if stage != "qualification" or not is_over or left == 0:
            raise ConflictError("the qualification cannot be taken again now")
        votes = list(connection.execute(text(_VOTES), {"user_id": user.id}).mappings())
        undone = [
            Event(
                kind="undo",
                at_us=state.clock(),
                user_id=user.id,
                item_id=vote["item_id"],
                assignment_id=vote["assignment_id"],
                target_id=vote["id"],
                level=vote["level"],
            )
            for vote in votes
        ]
        append_all(connection, undone)
        mine = select(assignments.c.id).where(
            assignments.c.user_id == user.id, assignments.c.kind == "qualification", assignments.c.state != "released"
        )
        for ids in chunks(connection.execute(mine).scalars().all()):
            connection.execute(update(assignments).where(assignments.c.id.in_(ids)).values(state="released"))
        number = state.settings.qualification_retakes - left + 1
        details = {"number": number, "answers": len(votes)}
        append(
            connection,
            Event(kind="retake", at_us=state.clock(), user_id=user.id, client_id=retake_id, payload=details),
        )
        return False

    return state.store.transact(work)


def _left(state: ServerState, connection: Connection, user: Account) -> int:
    taken = connection.execute(text(_LEFT), {"user_id": user.id}).scalar_one()
    return max(0, state.settings.qualification_retakes - taken)

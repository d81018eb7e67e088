"""On which side of the bench each prediction of a pair stands, looked up in the database, and answers turned by it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from labeling_app.annotation.pairing import AnswerError, answer_of, pred_is_left, side_of
from labeling_app.annotation.state import ServerState
from labeling_app.database.tables import assignments, items
from labeling_app.schemas import VoteRequest


@dataclass(frozen=True)
class Given:
    """What is stored as the level, and of a pair whether the manifest's prediction stood on the left."""

    level: int
    pred_left: bool | None = None


def given(state: ServerState, connection: Connection, request: VoteRequest, item_id: int) -> Given:
    """Return what a vote says.

    Raises:
        AnswerError: A level for a pair, or a side for a single prediction.
    """
    rival = connection.execute(select(items.c.rival_sha256).where(items.c.id == item_id)).scalar_one()
    if (rival is None) != (request.worse is None):
        wanted = "a level" if rival is None else "worse: left, right or same"
        raise AnswerError(f"assignment {request.assignment_id} wants {wanted}")
    if request.worse is None:
        assert request.level is not None  # the request's own rule
        return Given(request.level)
    pred_left = shows_pred_left(state, connection, request.assignment_id, item_id)
    return Given(answer_of(request.worse, pred_left=pred_left), pred_left)


def shows_pred_left(state: ServerState, connection: Connection, assignment_id: int, item_id: int) -> bool:
    """Return whether the manifest's prediction is on the left; fixed per assignment, unknown to the page."""
    earlier = select(func.count()).where(assignments.c.item_id == item_id, assignments.c.id < assignment_id)
    return pred_is_left(state.secret, item_id, connection.execute(earlier).scalar_one())


def pair_images(state: ServerState, row: RowMapping) -> dict[str, str]:
    """Return {name on the bench: role} of a pair's assignment: two predictions in this annotator's order, the truth."""
    with state.store.read() as connection:
        pred_left = shows_pred_left(state, connection, row["id"], row["item_id"])
    left, right = ("pred", "rival") if pred_left else ("rival", "pred")
    return {"left": left, "right": right, "gt": "gt"}


def as_seen(state: ServerState, row: RowMapping, level: int | None) -> dict[str, Any]:
    """Return what an annotator is told of an own answer: ``level``, or of a pair ``worse``, the side where it stood.

    Never both: together they would tell which side is which. A skip has neither.
    """
    info = state.catalogue.by_id.get(row["item_id"])
    if info is None or not info.is_pair or level is None:
        return {"level": level}
    with state.store.read() as connection:
        pred_left = shows_pred_left(state, connection, row["id"], row["item_id"])
    return {"level": None, "worse": side_of(level, pred_left=pred_left)}

"""What the lead does to many items at once. A preview is the step itself, undone at the end: it cannot be wrong."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import Connection

from dataset_tools.errors import UsageError, VfiError
from labeling_app.accounts import Account
from labeling_app.annotation.gold import PURPOSES
from labeling_app.annotation.review import check_levels
from labeling_app.database.events import Event, append, append_all, find, load
from labeling_app.database.store import Store
from labeling_app.desk.asking import To, ask_again, assign, too_few_people
from labeling_app.desk.exclusions import Counted, Step, exclude, include
from labeling_app.desk.selection import Selection

Action = Literal["exclude", "include", "ask_again", "assign", "decide", "gold", "note"]
ACTIONS: tuple[str, ...] = get_args(Action)


class ChangedError(VfiError):
    """What a step would do is not what its preview said: something happened in between."""

    code = "changed"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One thing to do to a selection.

    Attributes:
        action: What is done.
        selection: Which items, and for exclude and include which of their votes.
        reason: Why; kept in the log.
        to: Of ``ask_again``: other people, or all.
        votes: Of ``ask_again``: how many more.
        person: Of ``assign``: who gets the items.
        level: Of ``decide`` and ``gold``; ``None`` makes gold items ordinary again.
        purpose: Of ``gold``.
    """

    action: Action
    selection: Selection
    reason: str = ""
    to: To = "others"
    votes: int = 1
    person: Account | None = None
    level: int | None = None
    purpose: str = "gold"

    def __post_init__(self) -> None:
        if self.action == "assign" and self.person is None:
            raise UsageError("assign needs a person")
        if self.action == "decide" and self.level is None:
            raise UsageError("decide needs a level 1..4")
        if self.action == "note" and not self.reason:
            raise UsageError("a comment needs a text")
        if self.action == "ask_again" and not 1 <= self.votes <= 100:
            raise UsageError(f"votes ({self.votes}) must be in 1..100")
        if self.purpose not in PURPOSES:
            raise UsageError(f"purpose {self.purpose!r} must be one of {', '.join(PURPOSES)}")


@dataclass(frozen=True)
class Outcome:
    """What a step changed, or would change.

    Attributes:
        items: Items it touched.
        votes: Votes set aside or taken in again, by person in ``people``.
        replaced: Votes left aside because the person gave a newer one.
        too_few_people: Items that now want more votes than there are people left to give them.
    """

    items: int
    votes: int
    replaced: int
    people: dict[str, int] = field(default_factory=dict)
    too_few_people: int = 0


class _Preview(Exception):  # noqa: N818 - no error: it ends a transaction that must leave nothing
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def carry_out(
    store: Store,
    order: Order,
    step: Step,
    find_items: Callable[[Connection], list[int]],
    *,
    preview: bool,
    expected: tuple[int, int] | None = None,
) -> Outcome:
    """Do ``order`` and return what changed; with ``preview`` return what would change, and change nothing.

    Args:
        store: The database.
        order: What is done.
        step: Who does it and when; a step with the same batch by the same person is done once.
        find_items: Returns the item ids of the selection, within the transaction.
        preview: Undo everything at the end.
        expected: Items and votes that the preview named.

    Raises:
        ChangedError: ``expected`` is not what the step does.
    """

    def work(connection: Connection) -> Outcome:
        if step.user_id is not None:
            store.lock_user(connection, step.user_id)
            known = find(connection, user_id=step.user_id, client_id=step.batch)
            if known is not None:
                done = load(known)
                return Outcome(done["items"], done["votes"], done["replaced"], done["people"], done["too_few_people"])
        ids = find_items(connection)
        counted = _do(connection, order, step, ids)
        few = too_few_people(connection, ids) if order.action in ("exclude", "ask_again", "assign") else []
        outcome = Outcome(len(counted.items), counted.votes, counted.replaced, counted.people, len(few))
        if preview:
            raise _Preview(outcome)
        if expected is not None and expected != (outcome.items, outcome.votes):
            raise ChangedError(
                f"{outcome.items} items and {outcome.votes} votes would change by now, not {expected[0]} and"
                f" {expected[1]}; look again"
            )
        details = {"action": order.action, "where": dict(order.selection.where), "reason": order.reason}
        details |= asdict(outcome)
        append(
            connection,
            Event(kind="desk", at_us=step.at_us, user_id=step.user_id, client_id=step.batch, payload=details),
        )
        return outcome

    try:
        return store.transact(work)
    except _Preview as end:
        return end.outcome


def _do(connection: Connection, order: Order, step: Step, ids: list[int]) -> Counted:
    match order.action:
        case "exclude":
            return exclude(connection, ids, order.selection, step)
        case "include":
            return include(connection, ids, order.selection, step)
        case "ask_again":
            return ask_again(connection, ids, step, to=order.to, votes=order.votes)
        case "assign":
            assert order.person is not None
            return assign(connection, ids, step, person=order.person)
    _say(connection, order, step, ids)
    return Counted(items=set(ids))


def _say(connection: Connection, order: Order, step: Step, ids: list[int]) -> None:
    """Append a verdict, a gold level or a comment about each item."""
    says: dict[str, tuple[str, dict[str, Any]]] = {
        "decide": ("verdict", {"comment": order.reason or None}),
        "gold": ("gold", {"purpose": order.purpose, "note": order.reason}),
        "note": ("note", {"text": order.reason}),
    }
    kind, details = says[order.action]
    check_levels(connection, ids, order.level if kind != "note" else None)
    events = [
        Event(
            kind=kind,
            at_us=step.at_us,
            user_id=step.user_id,
            item_id=item,
            level=order.level if kind != "note" else None,
            payload={**details, "batch": step.batch},
        )
        for item in ids
    ]
    append_all(connection, events)

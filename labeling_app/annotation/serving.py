"""What an annotator gets next: held leases first, then new claims, with training and hidden checks mixed in.

Each annotator has a queue in memory, an order of all items made once by the pure rules; the database only decides
which of the next few is still free. When none is, one query lists everything that is, so that the end of a set costs
no more than its beginning.
"""

import itertools
from collections.abc import Callable, Sequence, Set

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, RowMapping, select, text, update

from labeling_app.accounts import Account, Stage
from labeling_app.annotation.assignments import (
    Kind,
    annotator_rng,
    in_random_share,
    next_kind,
    other_clips,
    other_clips_first,
    qualification_items,
    repeat_candidates,
    stratified_order,
    training_items,
    uncertain_order,
    worth_of_a_vote,
    worth_to_the_model,
)
from labeling_app.annotation.claims import (
    Claim,
    asked_items,
    claim,
    held,
    open_items,
    others_hold_work,
    release_expired,
    renew,
    touched,
)
from labeling_app.annotation.qualification import judge
from labeling_app.annotation.state import Queue, ServerState
from labeling_app.database.events import Event, append, latest
from labeling_app.database.tables import assignments, users

WINDOW = 64  # candidates offered to one claim: more than may be taken by others in between
SWEEP_US = 1_000_000  # leases last minutes, so a second late is soon enough
UNCERTAIN_QUEUE_US = 300_000_000  # disagreement changes while people vote: make the order anew every 5 minutes

_SO_FAR = """
SELECT item_id, MAX(level) - MIN(level) AS spread, AVG(1.0 * level) AS level
FROM current_votes WHERE stage = 'work' GROUP BY item_id
"""


def next_items(state: ServerState, user: Account, *, count: int) -> tuple[list[RowMapping], str | None]:
    """Return up to ``count`` leased assignments in the order to show, and the reason when there is none.

    Asking again gives the same assignments first, on whatever machine; their leases are renewed.

    Returns:
        Rows of ``assignments`` whose items are in the manifest, and ``None`` or "done", "leased" (others hold the
        last ones), "qualification" (a person has to decide).
    """
    state.refresh()
    # One request at a time per annotator: two tabs at once would both fill up to ``count``, and change one queue. That
    # no item is given out twice does not hang on this lock: see claims.
    with state.user_lock(user.id):
        _sweep(state)
        lines = _renew_held(state, user)
        stage = current_stage(state, user)
        if len(lines) < count:
            last_item = lines[-1]["item_id"] if lines else _last_item(state, user)
            lines += _claim_more(state, user, stage, count=count - len(lines), last_item=last_item)
        if lines:
            return lines[:count], None
        if stage == "qualification":
            return [], "qualification"
        with state.store.read() as connection:
            return [], "leased" if others_hold_work(connection, user_id=user.id) else "done"


def current_stage(state: ServerState, user: Account) -> Stage:
    """Return the annotator's stage, after moving it on where its round is finished (that is an event).

    Looked at when items are asked for and not when a vote comes: the gold items may have changed in between, and a
    project without any has to let everybody through at once.
    """
    with state.store.read() as connection:
        stage = connection.execute(select(users.c.stage).where(users.c.id == user.id)).scalar_one()
    entered = stage
    while entered != "work" and (following := _following_stage(state, user, entered)) is not None:
        entered = following
    if entered != stage:
        _enter_stage(state, user, stage, entered)
    return entered


def lease_end_us(state: ServerState) -> int:
    """Return when a lease taken now runs out."""
    return state.clock() + int(state.settings.lease_seconds * 1_000_000)


def _sweep(state: ServerState, *, force: bool = False) -> None:
    now = state.clock()
    if force or now - state.last_sweep_us >= SWEEP_US:
        state.last_sweep_us = now
        overdue = select(assignments.c.id).where(
            assignments.c.state == "leased", assignments.c.lease_expires_at_us < now
        )
        with state.store.read() as connection:  # look first: a write that changes nothing waits for the disk, too
            if connection.execute(overdue.limit(1)).first() is None:
                return
        state.store.transact(lambda connection: release_expired(connection, now_us=now))


def _renew_held(state: ServerState, user: Account) -> list[RowMapping]:
    """Return what the annotator holds in the order to show, after renewing leases past half of their time.

    Renewing at every request would write to disk once more per vote.
    """
    with state.store.read() as connection:
        lines = held(connection, user_id=user.id)
    half_us = int(state.settings.lease_seconds * 500_000)
    if any(row["lease_expires_at_us"] < state.clock() + half_us for row in lines):

        def work(connection: Connection) -> list[RowMapping]:
            renew(connection, user_id=user.id, ids=None, expires_us=lease_end_us(state))
            return held(connection, user_id=user.id)

        lines = state.store.transact(work)
    # An item that has left the manifest rests: it is not shown, and comes back with its row.
    return [row for row in lines if row["item_id"] in state.catalogue.by_id]


def _claim_more(
    state: ServerState, user: Account, stage: Stage, *, count: int, last_item: int | None
) -> list[RowMapping]:
    """Return up to ``count`` new assignments of the kinds that are due; fewer when nothing else is free."""
    if stage != "work":
        return [row for row, _ in _claim(state, user, stage, _only(round_items(state, stage)), count=count)]
    rates = {"gold_rate": state.settings.gold_rate, "repeat_rate": state.settings.repeat_rate}
    lines = _claim_asked(state, user, count=count)
    for kind, run in itertools.groupby(next_kind(state.rng, **rates) for _ in range(count - len(lines))):
        size = len(list(run))
        for wanted in [size] if kind == "work" else [1] * size:  # work in one transaction, each check in its own
            last_item = lines[-1]["item_id"] if lines else last_item
            claimed = [] if kind == "work" else _claim_check(state, user, kind, last_item)
            # No check left: work in its place, or the gap would tell when checks come.
            lines += claimed or _claim_work(state, user, count=wanted, last_item=last_item)
    return lines


def _claim_asked(state: ServerState, user: Account, *, count: int) -> list[RowMapping]:
    """Return up to ``count`` new assignments on the items that this annotator was given at the desk."""
    with state.store.read() as connection:
        given = asked_items(connection, user_id=user.id)
    return [row for row, _ in _claim(state, user, "work", _only(given), count=count, beyond_quota=True)]


def _claim_check(state: ServerState, user: Account, kind: Kind, last_item: int | None) -> list[RowMapping]:
    checks = _gold_left(state, user) if kind == "gold" else _repeats_left(state, user)
    candidates = other_clips(checks, state.clip_of, last_clip=_clip(state, last_item), limit=WINDOW)
    return [row for row, _ in _claim(state, user, kind, _only(candidates))]


def _claim_work(state: ServerState, user: Account, *, count: int, last_item: int | None) -> list[RowMapping]:
    queue = _queue(state, user)

    def following(last: int | None) -> list[int]:
        return other_clips(queue.waiting, state.clip_of, last_clip=_clip(state, last), limit=WINDOW)

    steps = _claim(state, user, "work", following, count=count, last_item=last_item, by_worth=queue.by_worth)
    # Those before a claimed one in line were full; should a lease on them end, the search below finds them again.
    passed = {item for row, candidates in steps for item in candidates[: candidates.index(row["item_id"]) + 1]}
    # Only the head of the queue can hold them (other_clips looks no further); the rest may be ten thousand long.
    queue.waiting[: 4 * WINDOW] = [item for item in queue.waiting[: 4 * WINDOW] if item not in passed]
    lines = [row for row, _ in steps]
    while len(lines) < count:
        found = _search(state, user, queue, lines[-1]["item_id"] if lines else last_item)
        if found is None:
            break
        lines.append(found)
    return lines


def _search(state: ServerState, user: Account, queue: Queue, last_item: int | None) -> RowMapping | None:
    """Return one new assignment of whatever is still open, or ``None``: slow and sure."""
    _sweep(state, force=True)  # "done" must not be said because of a lease that ran out half a second ago
    with state.store.read() as connection:
        still_open = set(open_items(connection, user_id=user.id))
    queue.waiting = [item for item in queue.order if item in still_open]
    line = other_clips_first(queue.waiting, state.clip_of, last_clip=_clip(state, last_item))
    for start in range(0, len(line), 4 * WINDOW):
        chunk = line[start : start + 4 * WINDOW]
        # Wait for rows that others hold locked: passing over them is right in a long queue, but at the end of a set it
        # would tell several annotators at once that nothing is left.
        for row, _ in _claim(state, user, "work", _only(chunk), by_worth=queue.by_worth, wait=True):
            queue.waiting.remove(row["item_id"])
            return row
    return None


def _only(candidates: Sequence[int]) -> Callable[[int | None], Sequence[int]]:
    return lambda _: candidates


def _clip(state: ServerState, item: int | None) -> str | None:
    return None if item is None else state.clip_of(item)


def _claim(
    state: ServerState,
    user: Account,
    kind: Kind,
    following: Callable[[int | None], Sequence[int]],
    *,
    count: int = 1,
    last_item: int | None = None,
    by_worth: Set[int] = frozenset(),
    wait: bool = False,
    beyond_quota: bool = False,
) -> list[tuple[RowMapping, Sequence[int]]]:
    """Return up to ``count`` new assignments, each with its candidates, from one transaction: one wait for the disk.

    Each is on the first free one of ``following(item before it)``.
    """
    first = following(last_item)
    if not first:
        return []

    def work(connection: Connection) -> list[tuple[RowMapping, Sequence[int]]]:
        state.store.lock_user(connection, user.id)
        steps: list[tuple[RowMapping, Sequence[int]]] = []
        while len(steps) < count:
            candidates = following(steps[-1][0]["item_id"]) if steps else first
            wanted = Claim(
                user.id,
                candidates,
                kind,
                now_us=state.clock(),
                expires_us=lease_end_us(state),
                beyond_quota=beyond_quota,
            )
            found = claim(connection, wanted, by_worth=by_worth, wait=wait)
            if found is None:
                break
            row = connection.execute(select(assignments).where(assignments.c.id == found[0])).mappings().one()
            steps.append((row, candidates))
        return steps

    return state.store.transact(work)


def _queue(state: ServerState, user: Account) -> Queue:
    """Return the annotator's queue, made anew when the manifest or the gold items changed."""
    queue, now = state.queues.get(user.id), state.clock()
    uncertain = state.settings.order != "random"
    fresh = queue is not None and not (uncertain and now - queue.made_at_us > UNCERTAIN_QUEUE_US)
    if queue is not None and fresh and queue.version == state.version:
        return queue
    version, catalogue = state.version, state.catalogue
    order = stratified_order(catalogue.strata, annotator_rng(state.settings.seed, user.name))
    by_worth: set[int] = set()
    if uncertain:
        spreads, levels = _so_far(state)
        if state.settings.order == "model":
            worth = worth_to_the_model(catalogue.scores, levels)
        else:
            worth = worth_of_a_vote(catalogue.scores, spreads)
        share = state.settings.random_share
        at_random = in_random_share(catalogue.ids.tolist(), state.settings.seed, share=share)
        order = uncertain_order(order, worth, at_random=at_random)
        by_worth = set(catalogue.ids[~at_random].tolist())
    with state.store.read() as connection:  # what is held now may come back, should its lease run out
        states = touched(connection, user_id=user.id)
    seen = [item for (item, _), (_, state) in states.items() if state not in ("released", "leased")]
    in_order = catalogue.ids[order]
    in_order = in_order[~np.isin(in_order, list(state.gold))]  # as work they would be met twice
    waiting = in_order[~np.isin(in_order, seen)].tolist()
    queue = Queue(version, order=in_order.tolist(), waiting=waiting, by_worth=by_worth, made_at_us=now)
    state.queues[user.id] = queue
    return queue


def _so_far(state: ServerState) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (highest minus lowest vote, mean level) per item of the catalogue; 0 and NaN without votes."""
    with state.store.read() as connection:
        rows = {row.item_id: row for row in connection.execute(text(_SO_FAR))}
    found = [rows.get(item) for item in state.catalogue.ids.tolist()]
    spreads = np.array([0 if row is None else row.spread for row in found], dtype=np.float64)
    return spreads, np.array([np.nan if row is None else float(row.level) for row in found], dtype=np.float64)


def round_items(state: ServerState, stage: Stage) -> list[int]:
    """Return the item ids of the training round or the qualification, in order; pairs are compared without either."""
    if state.settings.against is not None:
        return []
    gold = [item for item in state.gold.values() if item.item_id in state.catalogue.by_id]
    chosen = training_items(gold) if stage == "training" else qualification_items(gold)
    return [item.item_id for item in chosen]


def _gold_left(state: ServerState, user: Account) -> list[int]:
    no_rounds = state.settings.against is not None  # pairs: all that is gold is hidden
    gold = [one for one in state.gold.values() if one.item_id in state.catalogue.by_id]
    hidden = [one.item_id for one in gold if no_rounds or one.purpose == "gold"]
    with state.store.read() as connection:
        seen = {item for (item, _), (_, state) in touched(connection, user_id=user.id).items() if state != "released"}
    left = [item for item in hidden if item not in seen]
    # At random, by the server's own generator: in an order that is everybody's, annotators could warn each other.
    return [left[index] for index in state.rng.permutation(len(left))]


def _repeats_left(state: ServerState, user: Account) -> list[int]:
    votes = text("SELECT item_id FROM current_votes WHERE user_id = :user_id AND stage = 'work' ORDER BY id")
    with state.store.read() as connection:
        voted = list(connection.execute(votes, {"user_id": user.id}).scalars())
        repeated = {item for item, index in touched(connection, user_id=user.id) if index == 1}
    return [item for item in repeat_candidates(voted, repeated) if item in state.catalogue.by_id]


def _last_item(state: ServerState, user: Account) -> int | None:
    with state.store.read() as connection:
        row = latest(connection, "vote", user_id=user.id)
    return None if row is None else row["item_id"]


def _following_stage(state: ServerState, user: Account, stage: Stage) -> Stage | None:
    """Return the stage after ``stage`` when its round is finished (and passed), else ``None``."""
    gold, items = state.gold, round_items(state, stage)
    with state.store.read() as connection:
        states = touched(connection, user_id=user.id)
        ends = [states.get((item, 0), ("", ""))[1] for item in items]
        if not all(end in ("voted", "skipped", "surplus") for end in ends):
            return None
        if stage == "training":
            return "qualification"
        query = text("SELECT item_id, level FROM current_votes WHERE user_id = :user_id AND stage = 'qualification'")
        votes = connection.execute(query, {"user_id": user.id}).all()
    pairs: list[tuple[int | None, int]] = [(row.level, gold[row.item_id].level) for row in votes if row.item_id in gold]
    skipped = [item for item, end in zip(items, ends, strict=True) if end == "skipped" and item in gold]
    pairs += [(None, gold[item].level) for item in skipped]  # a skip hits nothing: see judge
    tries = 1 + state.settings.qualification_retakes
    return "work" if not pairs or judge(pairs, tries=tries).passed else None


def _enter_stage(state: ServerState, user: Account, stage: str, following: str) -> None:
    def work(connection: Connection) -> None:
        change = update(users).where(users.c.id == user.id, users.c.stage == stage)
        if connection.execute(change.values(stage=following)).rowcount:  # else another tab was first
            details = {"from": stage, "to": following}
            append(connection, Event(kind="stage", at_us=state.clock(), user_id=user.id, payload=details))

    state.store.transact(work)

"""How far an annotator is and how fast: shown on the page, asked for with every vote, so it must be cheap."""

import itertools
import time
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, text

from labeling_app.accounts import Account
from labeling_app.annotation.claims import num_open
from labeling_app.annotation.state import Remaining, ServerState
from labeling_app.database.tables import events
from labeling_app.schemas import Progress

BREAK_US = 300_000_000  # a longer gap between two votes is a break, not work
RECENT_VOTES = 50
SHARED_SECONDS = 5.0  # what others take from the pool is seen this much later
OWN_US = 15_000_000

_DONE = "SELECT COUNT(*) FROM assignments WHERE user_id = :user_id AND state IN ('voted', 'surplus', 'excluded')"
_HELD = """
SELECT COUNT(*) AS held, COUNT(CASE WHEN kind IN ('gold', 'repeat') THEN 1 END) AS hidden
FROM assignments WHERE user_id = :user_id AND state = 'leased'
"""
_SEEN_BUT_OPEN = text("""
SELECT COUNT(*) FROM assignments a JOIN items i ON i.id = a.item_id
WHERE a.user_id = :user_id AND a.repeat_index = 0 AND a.state <> 'released' AND i.active AND i.taken < i.overlap
    AND i.id NOT IN :gold
""").bindparams(bindparam("gold", expanding=True))


def votes_per_hour(times_us: Sequence[int]) -> float | None:
    """Return the rate over vote times, breaks left out; ``None`` below two votes without a break between.

    In any order: imported votes are older than they look, and a server's clock may be set back. Nor is there a rate
    where all times are the same, as in an import without times.
    """
    gaps = [gap for a, b in itertools.pairwise(sorted(times_us)) if (gap := b - a) <= BREAK_US]
    return len(gaps) / sum(gaps) * 3.6e9 if sum(gaps) else None


def progress_of(state: ServerState, user: Account) -> Progress:
    """Return an annotator's progress; hidden checks count as done like any item, so the numbers do not betray them."""
    with state.store.read() as connection:
        done = connection.execute(text(_DONE), {"user_id": user.id}).scalar_one()
        remaining = _remaining(state, connection, user.id, done)
        recent = select(events.c.created_at_us).where(events.c.user_id == user.id, events.c.kind == "vote")
        times = list(connection.execute(recent.order_by(events.c.id.desc()).limit(RECENT_VOTES)).scalars())
    rate = votes_per_hour(times)
    seconds_left = None if not rate else remaining / rate * 3600
    return Progress(
        done=done, target=done + remaining, remaining=remaining, votes_per_hour=rate, seconds_left=seconds_left
    )


def _remaining(state: ServerState, connection: Connection, user_id: int, done: int) -> int:
    """Return how many items the annotator could still label, from counts that are at most seconds old."""
    now, cached = state.clock(), state.remaining.get(user_id)
    if cached is not None and now - cached.at_us < OWN_US and cached.version == state.version:
        return max(0, cached.remaining - (done - cached.done))
    if state.num_open is None or time.monotonic() - state.num_open[0] > SHARED_SECONDS:
        state.num_open = (time.monotonic(), num_open(connection, apart_from=state.gold))
    seen = connection.execute(_SEEN_BUT_OPEN, {"user_id": user_id, "gold": list(state.gold)}).scalar_one()
    holding = connection.execute(text(_HELD), {"user_id": user_id}).one()
    # A hidden check must not make the number grow before it is answered; at the very end it is one of those left.
    remaining = max(max(0, state.num_open[1] - seen) + holding.held - holding.hidden, holding.held)
    state.remaining[user_id] = Remaining(now, state.version, remaining, done)
    return remaining

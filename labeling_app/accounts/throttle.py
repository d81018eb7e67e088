"""The throttle on guessing passwords: how long a sign-in has to wait, by what the log says of those before it.

The log is shared by all replicas and outlives a restart. Only failures count, and only for a while; what is refused is
not logged, so the throttle also bounds what an attacker can add to the log.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from labeling_app.accounts.names import folded
from labeling_app.database.events import load

_US = 1_000_000
_LOCK_SPACE = 7861  # of PostgreSQL's advisory locks

# By time alone, with an index of its own: after a clock was set back, the newest rows are not the latest ones.
_FAILURES = """
SELECT id, created_at_us, payload FROM events WHERE kind = 'sign_in_failed' AND created_at_us > :since
"""
_SUCCESSES = """
SELECT id, created_at_us, payload FROM events WHERE kind = 'sign_in' AND user_id = :user_id ORDER BY id DESC LIMIT 50
"""


@dataclass(frozen=True)
class Limits:
    """How many failures within ``window_seconds`` make the next attempt wait.

    ``per_name`` and ``in_all`` stop many addresses that guess together. They do not count for somebody who comes from
    an address where this name has signed in before, so that nobody can be locked out of their own place from elsewhere.
    """

    window_seconds: int = 300
    per_name_and_address: int = 5
    per_address: int = 100  # a whole office may share one
    per_name: int = 50
    in_all: int = 1000


@dataclass(frozen=True)
class Attempt:
    """A sign-in that was tried before; ``order`` tells which came first, whatever the clock said."""

    at_us: int
    name: str
    address: str
    succeeded: bool
    order: int


def seconds_to_wait(attempts: Iterable[Attempt], *, name: str, address: str, now_us: int, limits: Limits) -> float:
    """Return how long ``name`` at ``address`` has to wait before the next attempt; 0 when it may try now.

    Args:
        attempts: All failures of the window, and the name's own successes; others do no harm.
        name: The account's name.
        address: Where the attempt comes from.
        now_us: The time, in microseconds since 1970.
        limits: The rule.
    """
    window_us, place = limits.window_seconds * _US, place_of(address)
    own = folded(name)
    failures: list[tuple[Attempt, bool, bool]] = []  # attempt, same name, same place
    last_success = None
    for attempt in attempts:
        same_name, same_place = folded(attempt.name) == own, place_of(attempt.address) == place
        if not attempt.succeeded:
            if attempt.at_us > now_us - window_us:
                failures.append((attempt, same_name, same_place))
        elif same_name and same_place:
            last_success = max(attempt.order, last_success or 0)
    here = [attempt for attempt, same_name, same_place in failures if same_name and same_place]
    rules = [
        (limits.per_name_and_address, [one.at_us for one in here if one.order > (last_success or 0)]),
        (limits.per_address, [one.at_us for one, _, same_place in failures if same_place]),
    ]
    if last_success is None:
        rules.append((limits.per_name, [one.at_us for one, same_name, _ in failures if same_name]))
        rules.append((limits.in_all, [one.at_us for one, _, _ in failures]))
    return max(_wait_us(times, limit, now_us - window_us) for limit, times in rules) / _US


def _wait_us(times: Sequence[int], limit: int, since_us: int) -> int:
    """Return how long until fewer than ``limit`` of ``times`` are after the window's begin.

    Times that lie ahead, since the clock was set back, count like others: the wait is then as long as the clock lags.
    """
    return sorted(times)[-limit] - since_us if len(times) >= limit else 0


def place_of(address: str) -> str:
    """Return what counts as one address: an IPv6 network of 64 bits, which one household or attacker has whole."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))


def read_attempts(connection: Connection, *, name: str, user_id: int | None, since_us: int) -> list[Attempt]:
    """Return all failures since ``since_us`` and the latest successes of ``name``, an account's or nobody's."""
    failures = connection.execute(text(_FAILURES), {"since": since_us}).mappings()
    attempts = [
        Attempt(row["created_at_us"], details["name"], details["address"], False, row["id"])
        for row in failures
        for details in (load(row),)
    ]
    if user_id is not None:
        successes = connection.execute(text(_SUCCESSES), {"user_id": user_id}).mappings()
        attempts += [Attempt(row["created_at_us"], name, load(row)["address"], True, row["id"]) for row in successes]
    return attempts


def lock_name(connection: Connection, name: str) -> None:
    """Let one transaction per name decide at a time, in all replicas; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(folded(name).encode()).digest()[:4], signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, :key)"), {"space": _LOCK_SPACE, "key": key})

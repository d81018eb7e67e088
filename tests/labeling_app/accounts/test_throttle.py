"""Guessing passwords: the rule on rows, and the same rule on two replicas that share a log."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from labeling_app.accounts.throttle import Attempt, Limits, place_of, seconds_to_wait
from tests.labeling_app.helpers import PASSWORD, Client, FakeClock, add_user, make_state

LIMITS = Limits(window_seconds=60, per_name_and_address=2, per_address=4, per_name=3, in_all=6)
HOME, OFFICE = "203.0.113.9", "203.0.113.10"


def failed(*attempts):
    """Return failures given as (seconds, name, address)."""
    return [Attempt(seconds * 1_000_000, name, address, False, seconds) for seconds, name, address in attempts]


def succeeded(seconds, name, address):
    return [Attempt(seconds * 1_000_000, name, address, True, seconds)]


def many(number, name="anna", network=1):
    """Return failures of one name, or of a name each, at an address each."""
    return failed(*[(99, name or f"name {index}", f"198.51.{network}.{index}") for index in range(number)])


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        ([], 0),
        (failed((99, "anna", HOME)), 0),
        (failed((50, "anna", HOME), (99, "anna", HOME)), 10),
        (failed((99, "anna", HOME), (50, "anna", HOME)), 10),  # in any order
        (failed((10, "anna", HOME), (40, "anna", HOME), (99, "anna", HOME)), 0),  # two of them too long ago
        (failed((50, "anna", HOME), (60, "anna", HOME), (70, "anna", HOME)), 20),  # until one is left
        (failed((99, "ben", HOME), (99, "ben", HOME)), 0),
        (failed((99, "anna", OFFICE), (99, "anna", OFFICE)), 0),
        (failed((99, "anna", HOME), (99, "anna", HOME)) + succeeded(100, "anna", HOME), 0),
        (failed((99, "anna", HOME), (99, "anna", HOME)) + succeeded(98, "anna", HOME), 59),
        (failed((99, "anna", HOME), (99, "anna", HOME)) + succeeded(100, "anna", OFFICE), 59),
        # An address that tries many names; a success of its own is no way around.
        (failed(*[(99, f"name {number}", HOME) for number in range(4)]), 59),
        (failed(*[(99, f"name {number}", HOME) for number in range(4)]) + succeeded(100, "anna", HOME), 59),
        # Many addresses that try one name: strangers wait, the name's own places do not.
        (many(2), 0),
        (many(3), 59),
        (many(3) + succeeded(1, "anna", HOME), 0),
        (many(3) + succeeded(1, "anna", OFFICE), 59),
        (many(3, "ben"), 0),
        # Many addresses that try many names.
        (many(5, None), 0),
        (many(6, None), 59),
        (many(6, None) + succeeded(1, "anna", HOME), 0),
    ],
)
def test_the_rule(attempts, wait):
    assert seconds_to_wait(attempts, name="anna", address=HOME, now_us=100_000_000, limits=LIMITS) == wait


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("203.0.113.9", "203.0.113.10", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),  # one household, one attacker
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("a:b", "unknown", False),
    ],
)
def test_places(address, other, same):
    assert (place_of(address) == place_of(other)) == same


@pytest.fixture
def replicas(db_url, manifest):
    clock = FakeClock()
    states = [make_state(manifest, db_url, clock=clock) for _ in range(2)]
    for name in ("anna", "ben"):
        add_user(states[0].store, name, password=PASSWORD)
    yield states
    for state in states:
        state.close()


def guess(state, name="anna", address=HOME, password="a wrong password"):
    return Client(state, address=address).sign_in(name, password)


def num_events(state, kind):
    with state.store.read() as connection:
        return connection.execute(text("SELECT COUNT(*) FROM events WHERE kind = :kind"), {"kind": kind}).scalar_one()


def test_replicas_count_together_and_remember_after_a_restart(replicas, manifest):
    first, second = replicas
    answers = [guess(state) for state in (first, second, first, second, first, second, first)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 301
    again = make_state(manifest, first.store.url, clock=first.clock)
    assert guess(again, password=PASSWORD).status_code == 429  # also with the right one, until the time is over
    again.close()
    assert guess(second, address=OFFICE, password=PASSWORD).status_code == 200  # from elsewhere she comes in
    first.clock.advance(301)
    assert guess(first, password=PASSWORD).status_code == 200
    assert num_events(first, "sign_in_failed") == 5  # what is refused does not fill the log


def test_many_at_once_on_both_are_no_way_around(replicas):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(guess, replicas * 6))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7


def test_who_signs_in_starts_anew(replicas):
    for state in replicas:
        assert [guess(state).status_code for _ in range(4)] == [401] * 4
        assert guess(state, password=PASSWORD).status_code == 200
    assert guess(state, "ben", password=PASSWORD).status_code == 200


def test_a_flood_stops_at_strangers(replicas):
    for state in replicas:
        state.sign_in_limits = Limits(per_address=4, per_name=6, in_all=8)
    assert guess(state, password=PASSWORD).status_code == 200  # HOME is anna's own place from now on
    one_address = [guess(state, f"name {number}", OFFICE).status_code for number in range(6)]
    assert one_address == [401] * 4 + [429] * 2
    many_addresses = [guess(state, "anna", f"198.51.100.{number}").status_code for number in range(6)]
    assert many_addresses == [401] * 4 + [429] * 2
    assert num_events(state, "sign_in_failed") == 8
    assert guess(state, "ben", "198.51.100.9", PASSWORD).status_code == 429
    assert guess(state, password=PASSWORD).status_code == 200


def test_a_clock_that_is_set_back_does_not_weaken_the_throttle(replicas):
    state, other = replicas
    assert guess(state, password=PASSWORD).status_code == 200
    for server in replicas:
        server.clock.advance(-3600)
    answers = [guess(state).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2  # failures after the success, though an hour before it by the clock
    assert guess(other, "ben", "198.51.100.7").status_code == 401  # a newer row with an older time
    for server in replicas:
        server.clock.advance(1)
    assert guess(state).status_code == 429


def test_one_name_in_any_spelling_has_one_count(replicas):
    state, _ = replicas
    answers = [guess(state, name).status_code for name in ("anna", "ANNA", "Anna", "aNNa", "anna", "annA")]
    assert answers == [401] * 5 + [429]

"""Several annotators do everything in any order; a plain model says which votes there must be after every step."""

import shutil
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from dataset_tools.manifest import from_rows, read_manifest
from labeling_app.accounts import require_row, to_account
from labeling_app.annotation import voting
from labeling_app.annotation.quota import Rule
from labeling_app.annotation.serving import next_items
from labeling_app.commands.data import _set_overlap
from labeling_app.database.audit import check_consistency
from labeling_app.exchange.exporting import export_manifest
from labeling_app.schemas import VoteRequest
from tests.labeling_app.helpers import FakeClock, add_user, make_manifest, make_state

NUM_TRIPLETS, NAMES = 6, ("anna", "ben", "cleo")
USERS = range(len(NAMES))
ACTIONS = {  # how often each is done
    "claim": 6, "vote": 8, "correct": 2, "undo": 3, "skip": 1, "sign_out": 1, "leases_run_out": 2, "change_overlap": 1,
    "change_manifest": 1, "restart": 1,
}  # fmt: skip


@cache
def template() -> Path:
    """Return a folder with a manifest and a new database: making one takes longer than an example."""
    folder = Path(tempfile.mkdtemp(prefix="vfi-machine-"))
    state = make_state(make_manifest(folder, NUM_TRIPLETS))
    for name in NAMES:
        add_user(state.store, name)
    with state.store.write() as connection:
        connection.execute(text("UPDATE users SET stage = 'work'"))
    state.close()
    return folder


@pytest.fixture(scope="module", autouse=True)
def _no_template_left():
    yield
    shutil.rmtree(template())
    template.cache_clear()


class Labelling:
    """The bench on SQLite beside a model: a list of votes, oldest first."""

    def __init__(self, overlap):
        self.folder = Path(tempfile.mkdtemp(prefix="vfi-machine-"))
        shutil.copytree(template(), self.folder, dirs_exist_ok=True)
        self.manifest = self.folder / "data_manifest.parquet"
        self.rows = read_manifest(self.manifest).rows()
        self.clock, self.overlap = FakeClock(), overlap
        self.state = self.open()
        with self.state.store.read() as connection:
            self.users = [to_account(require_row(connection, name)) for name in NAMES]
        self.votes = []  # dictionaries: id, user, assignment, item, level, counted, current
        self.skips = []  # dictionaries: user, assignment, item, current, order
        self.shown = {user: {} for user in USERS}  # assignment -> item

    def open(self):
        state = make_state(self.manifest, clock=self.clock, overlap=self.overlap, lease_seconds=60)
        state.store.engine.dispose()
        event.listen(state.store.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))  # faster
        return state

    def close(self):
        self.state.close()
        shutil.rmtree(self.folder)

    def claim(self, user, count, _):
        before = self.held(user)
        rows, _ = next_items(self.state, self.users[user], count=1 + count % 3)
        for row in rows:
            self.shown[user][row["id"]] = row["item_id"]
            assert row["item_id"] in self.active()
            assert not any(vote["counted"] for vote in self.current(user=user, item=row["item_id"]))
            assert not any((skip["user"], skip["item"]) == (user, row["item_id"]) for skip in self.skipped())
            if row["id"] not in before:
                assert self.taken(row["item_id"]) <= self.overlap

    def vote(self, user, place, number):
        if not self.shown[user]:
            return
        assignment, item = self.pick(user, place)
        level, again = 1 + number % 4, number % 3 == 0
        state, taken = self.state_of(assignment), self.taken(item)
        # Pixels that are gone keep the overlap they had.
        overlap = (
            self.overlap if item in self.active() else self.query("SELECT overlap FROM items WHERE id = :x", item)[0]
        )
        request = VoteRequest(vote_id=f"vote-{len(self.votes):04d}", assignment_id=assignment, level=level)
        if state == "skipped":
            with pytest.raises(voting.ConflictError):
                voting.vote(self.state, self.users[user], request)
            return
        counted = state == "leased" or (state == "released" and taken < overlap)
        assert voting.vote(self.state, self.users[user], request).counted == counted
        self.votes.append({"id": request.vote_id, "user": user, "assignment": assignment, "item": item,
                           "level": level, "counted": counted, "current": True, "order": self.clock()})  # fmt: skip
        if again:
            retry = voting.vote(self.state, self.users[user], request)
            assert (retry.duplicate, retry.counted) == (True, counted)

    def correct(self, user, place, number):
        """Rate an item anew that has a vote or was skipped; nothing else changes."""
        if not self.shown[user]:
            return
        assignment, item = self.pick(user, place)
        before = [vote for vote in self.current(user=user) if vote["assignment"] == assignment]
        skip = next((s for s in self.skipped() if s["assignment"] == assignment), None)
        if not before and skip is None:
            return
        level, taken = 1 + number % 4, self.taken(item)
        request = VoteRequest(
            vote_id=f"vote-{len(self.votes):04d}", assignment_id=assignment, level=level, corrects=True
        )
        if not before and item not in self.active():
            with pytest.raises(voting.ConflictError):  # it could not be shown
                voting.vote(self.state, self.users[user], request)
            return
        counted = before[-1]["counted"] if before else taken < self.overlap
        assert voting.vote(self.state, self.users[user], request).counted == counted
        (before[-1] if before else skip)["current"] = False
        self.votes.append({"id": request.vote_id, "user": user, "assignment": assignment, "item": item, "level": level,
                           "counted": counted, "current": True, "order": self.clock()})  # fmt: skip

    def undo(self, user, again, _):
        undo_id = f"undo-{self.clock()}"
        undone = [voting.undo(self.state, self.users[user], undo_id) for _ in range(1 + again % 2)]
        done = [*self.current(user=user), *(skip for skip in self.skipped() if skip["user"] == user)]
        last = max((one for one in done if one["item"] in self.active()), key=lambda one: one["order"], default=None)
        if last is None:
            assert undone[0] is None
            return
        assert {(row["id"], level) for row, level in undone} == {(last["assignment"], last.get("level"))}
        last["current"] = False

    def skip(self, user, place, _):
        if not self.shown[user]:
            return
        assignment, item = self.pick(user, place)
        skip = {"skip_id": f"skip-{self.clock()}", "assignment_id": assignment, "reason": ""}
        if self.current(user=user, item=item):
            with pytest.raises(voting.ConflictError):
                voting.skip(self.state, self.users[user], **skip)
            return
        voting.skip(self.state, self.users[user], **skip)
        for again in self.skipped():
            again["current"] = again["current"] and again["assignment"] != assignment
        self.skips.append({"user": user, "assignment": assignment, "item": item, "current": True,
                           "order": self.clock()})  # fmt: skip

    def sign_out(self, user, *_):
        voting.leave(self.state, self.users[user])

    def leases_run_out(self, *_):
        self.clock.advance(61)

    def change_overlap(self, _, number, __):
        self.overlap = 1 + number % 3
        self.state.store.transact(lambda connection: _set_overlap(connection, Rule(self.overlap, {})))

    def change_manifest(self, _, left_out, repainted):
        """Leave out the rows, and change the pixels of those, whose bits are set; the first row stays."""
        rows = [{**row, "pred_sha256": "f" * 64} if repainted >> i & 1 else row for i, row in enumerate(self.rows)]
        from_rows(self.manifest, [row for i, row in enumerate(rows) if i == 0 or not left_out >> i & 1]).write()
        self.state.refresh(force=True)

    def restart(self, *_):
        self.state.close()
        self.state = self.open()

    def no_vote_is_lost_or_doubled(self):
        with self.state.store.read() as connection:
            check_consistency(connection)
            logged = connection.execute(text("SELECT client_id FROM events WHERE kind = 'vote'")).scalars().all()
            current = connection.execute(
                text("SELECT e.client_id, v.level, v.stage FROM current_votes v JOIN events e ON e.id = v.id")
            ).all()
        assert sorted(logged) == [vote["id"] for vote in self.votes]
        expected = [(v["id"], v["level"], "work" if v["counted"] else "surplus") for v in self.votes if v["current"]]
        assert sorted(tuple(row) for row in current) == expected
        counted = Counter((vote["user"], vote["item"]) for vote in self.current() if vote["counted"])
        assert set(counted.values()) <= {1}

    def nothing_starves(self):
        """Let everybody label until nothing is left: what still wants a vote was seen by all."""
        self.clock.advance(61)
        for user in USERS:
            while (rows := next_items(self.state, self.users[user], count=1)[0]) != []:
                self.shown[user][rows[0]["id"]] = rows[0]["item_id"]
                self.vote(user, list(self.shown[user]).index(rows[0]["id"]), 2)
        for item in self.active():
            seen = {vote["user"] for vote in self.current(item=item)} | {
                skip["user"] for skip in self.skipped() if skip["item"] == item
            }
            enough = sum(vote["counted"] for vote in self.current(item=item)) >= self.overlap
            assert enough or len(seen) == len(NAMES)

    def the_export_is_the_median(self):
        export_manifest(self.state.store, self.manifest, method="median")
        items = {info.triplet_id: item for item, info in self.state.catalogue.by_id.items()}
        for row in read_manifest(self.manifest).rows():
            levels = sorted(vote["level"] for vote in self.current(item=items[row["triplet_id"]]) if vote["counted"])
            assert row["level"] == (levels[len(levels) // 2] if levels else None)

    def current(self, **which):
        """Return the votes not taken back, oldest first, of a user or an item."""
        return [v for v in self.votes if v["current"] and all(v[key] == value for key, value in which.items())]

    def skipped(self):
        """Return the skips that hold."""
        return [skip for skip in self.skips if skip["current"]]

    def active(self):
        return set(self.state.catalogue.by_id)

    def pick(self, user, place):
        return list(self.shown[user].items())[place % len(self.shown[user])]

    def held(self, user):
        return set(
            self.query("SELECT id FROM assignments WHERE state = 'leased' AND user_id = :x", self.users[user].id)
        )

    def state_of(self, assignment):
        return self.query("SELECT state FROM assignments WHERE id = :x", assignment)[0]

    def taken(self, item):
        """Return how many votes and leases count against an item's quota, counted one by one."""
        return len(self.query("SELECT id FROM assignments WHERE state IN ('leased', 'voted') AND item_id = :x", item))

    def query(self, statement, value):
        with self.state.store.read() as connection:
            return connection.execute(text(statement), {"x": value}).scalars().all()


NUMBERS = st.integers(0, 2**NUM_TRIPLETS - 1)
STEPS = st.tuples(st.sampled_from([name for name, often in ACTIONS.items() for _ in range(often)]),
                  st.sampled_from(USERS), NUMBERS, NUMBERS)  # fmt: skip


# Not made smaller when it fails: that takes longer than a test may.
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(overlap=st.integers(1, 3), steps=st.lists(STEPS, min_size=30, max_size=50))
def test_no_vote_is_lost_or_doubled_whatever_people_do(overlap, steps):
    labelling = Labelling(overlap)
    try:
        for action, *numbers in steps:
            getattr(labelling, action)(*numbers)
            labelling.no_vote_is_lost_or_doubled()
        labelling.nothing_starves()
        labelling.the_export_is_the_median()
    finally:
        labelling.close()

"""Who labels what: the pure rules as tables, then the same rules on a real database with a clock that stands still."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dataset_tools.manifest import read_manifest
from labeling_app import assignments as rules
from labeling_app import voting
from labeling_app.assignments import Gold
from labeling_app.audit import check_consistency
from labeling_app.pace import progress_of, votes_per_hour
from labeling_app.quota import Rule, matches, parse_filters, wanted_overlap
from labeling_app.review import store_gold
from labeling_app.schemas import GoldRequest, VoteRequest
from labeling_app.serving import current_stage, next_items
from tests.labeling_app.helpers import FakeClock, add_user, make_bench, make_manifest


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), st.integers(0, 2**32 - 1))
def test_every_prefix_of_the_order_is_stratified(codes, seed):
    codes = np.array(codes)
    order = rules.stratified_order(codes, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(codes)))
    for stratum in set(codes.tolist()):
        taken = np.cumsum(codes[order] == stratum)
        share = (codes == stratum).mean() * np.arange(1, len(codes) + 1)
        # Each of up to 5 strata is at most one item off its own place, so a prefix is off by few.
        assert np.abs(taken - share).max() <= 5


def test_the_order_is_random_per_annotator_and_the_same_after_a_restart():
    codes = np.arange(50) % 3
    orders = [rules.stratified_order(codes, rules.annotator_rng(0, name)).tolist() for name in ("anna", "ben", "anna")]
    assert orders[0] == orders[2] != orders[1]


def test_strata_are_source_tier_and_doubling_intervals():
    intervals = [1, 2, 3, 4, 5, 8, 9, 16, 17]
    codes = rules.strata(["a"] * 9, ["256p"] * 9, intervals).tolist()
    assert codes == [0, 1, 2, 2, 3, 3, 4, 4, 5]
    assert len(set(rules.strata(["a", "b", "a"], ["256p", "256p", "720p"], [1, 1, 1]).tolist())) == 3


def test_uncertain_order_puts_first_what_is_worth_most_and_keeps_a_random_share():
    scores = np.array([1.0, 1.5, 2.1, 3.49, np.nan, 4.0])
    spreads = np.array([0.0, 0.0, 0.0, 0.0, 3.0, 0.0])
    worth = rules.worth_of_a_vote(scores, spreads)
    assert worth == pytest.approx([0, 1, 0.2, 0.98, 1, 0])
    rng = np.random.default_rng(0)
    order, at_random = rules.uncertain_order(np.arange(6), worth, random_share=0.0, rng=rng)
    assert order.tolist() == [1, 4, 3, 2, 0, 5]
    assert not at_random.any()
    order, at_random = rules.uncertain_order(np.arange(400), np.zeros(400), random_share=0.25, rng=rng)
    assert sorted(order.tolist()) == list(range(400))
    assert 70 <= at_random.sum() <= 130


@pytest.mark.parametrize(
    ("state", "kind", "taken", "stage"),
    [
        ("leased", "work", 3, "work"),
        ("leased", "repeat", 3, "repeat"),
        ("released", "work", 2, "work"),  # late, but there is room
        ("released", "work", 3, "surplus"),  # late, and somebody else was faster
        ("released", "gold", 3, "gold"),  # gold has no quota
        ("voted", "work", 3, "surplus"),  # a second tab
        ("surplus", "work", 3, "surplus"),
        ("skipped", "work", 0, None),
    ],
)
def test_what_a_vote_counts_as(state, kind, taken, stage):
    assert rules.stage_of_vote(state, kind, taken=taken, overlap=3) == stage


def test_training_goes_from_worst_to_best_over_all_levels():
    gold = [Gold(i, 1 + i % 4, "training") for i in range(20)] + [Gold(99, 4, "gold"), Gold(98, 4, "qualification")]
    assert [item.level for item in rules.training_items(gold, count=5)] == [4, 3, 2, 2, 1]
    assert [item.item_id for item in rules.qualification_items(gold)] == [98]


@pytest.mark.parametrize(
    ("votes", "qualified"),
    [([], True), ([(2, 3)] * 8 + [(1, 4)] * 2, True), ([(2, 3)] * 7 + [(1, 4)] * 3, False), ([(1, 3)], False)],
)
def test_qualification_accepts_neighbouring_levels(votes, qualified):
    assert rules.is_qualified(votes, share=0.8) == qualified


def test_repeats_come_after_a_gap_and_once():
    voted = list(range(25))
    assert rules.repeat_candidates(voted, {1, 3}, gap=20) == [0, 2, 4]
    assert rules.repeat_candidates(voted[:20], set(), gap=20) == []


def test_hidden_checks_come_at_their_rates():
    rng = np.random.default_rng(0)
    kinds = Counter(rules.next_kind(rng, gold_rate=0.1, repeat_rate=0.2) for _ in range(2000))
    assert 150 < kinds["gold"] < 250
    assert 340 < kinds["repeat"] < 460


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [([], None), ([0], None), ([0, 10, 20], 360), ([0, 10, 4000, 4010], 360), ([0, 4000], None)],
)
def test_pace_leaves_breaks_out(seconds, rate):
    assert votes_per_hour([int(s * 1e6) for s in seconds]) == rate


def test_overlap_rules_the_newest_that_fits_wins():
    row = {"source": "videos", "resolution": "1080p", "clip": "a.mp4", "triplet_id": "x", "interval": 6}
    rules_ = [Rule(5, {}), Rule(7, parse_filters(["resolution=1080p", "interval=4-8"])), Rule(1, {"source": "other"})]
    assert wanted_overlap(row, default=3, rules=rules_) == 7
    assert wanted_overlap({**row, "interval": 9}, default=3, rules=rules_) == 5
    assert wanted_overlap(row, default=3, rules=[]) == 3
    assert matches(row, {"interval": "6"})


# From here on: the rules at work in a database.


def vote(bench, user, assignment, level=2):
    request = VoteRequest(
        vote_id=f"vote-{assignment['id']}-{bench.clock()}", assignment_id=assignment["id"], level=level
    )
    return voting.vote(bench, user, request)


def label_all(bench, user, level=2, limit=10_000):
    """Label until nothing is left; return the assignments in order."""
    done = []
    while len(done) < limit:
        rows, _ = next_items(bench, user, count=1)
        if not rows:
            break
        vote(bench, user, rows[0], level)
        done.append(rows[0])
    return done


def test_everything_once_per_annotator_and_no_clip_twice_in_a_row(db_url, manifest):
    bench = make_bench(manifest, db_url)
    anna = add_user(bench.store, "anna")
    done = label_all(bench, anna)
    assert len({row["item_id"] for row in done}) == len(done) == 42
    clips = [bench.clip_of(row["item_id"]) for row in done]
    repeats = [index for index, (a, b) in enumerate(itertools.pairwise(clips)) if a == b]
    # 7 clips of 6 triplets: only at the very end may one clip be all that is left.
    assert all(len(set(clips[index + 1 :])) == 1 for index in repeats)
    assert next_items(bench, anna, count=5) == ([], "done")
    bench.close()


def test_the_quota_counts_votes_and_live_leases(db_url, manifest):
    clock = FakeClock()
    bench = make_bench(manifest, db_url, clock=clock, overlap=2, lease_seconds=60)
    anna, ben, cleo = (add_user(bench.store, name) for name in ("anna", "ben", "cleo"))
    assert len(label_all(bench, anna)) == 42
    for _ in range(9):  # ben holds leases on what is left for him, 5 at a time, and votes on none of it
        held, _ = next_items(bench, ben, count=5)
    assert len(label_all(bench, cleo, limit=37)) == 37
    assert next_items(bench, cleo, count=1) == ([], "leased")
    clock.advance(61)
    taken_over = label_all(bench, cleo)
    assert {row["item_id"] for row in taken_over} == {row["item_id"] for row in held}
    assert next_items(bench, ben, count=1) == ([], "done")
    # ben's votes come in late: the quota is full, so they are kept but do not count.
    assert not any(vote(bench, ben, row).counted for row in held)
    with bench.store.read() as connection:
        stages = Counter(connection.execute(text("SELECT stage FROM current_votes")).scalars())
        check_consistency(connection)
    assert stages == {"work": 84, "surplus": 5}
    bench.close()


def test_a_late_vote_counts_while_there_is_room(db_url, manifest):
    clock = FakeClock()
    bench = make_bench(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(bench.store, "anna"), add_user(bench.store, "ben")
    (row,), _ = next_items(bench, anna, count=1)
    clock.advance(61)
    next_items(bench, ben, count=1)  # sweeps the lease away
    voted = vote(bench, anna, row)
    assert voted.counted
    assert row["item_id"] not in {other["item_id"] for other in label_all(bench, ben)}
    bench.close()


def test_what_was_held_comes_back_after_its_lease_ran_out(db_url, manifest):
    clock = FakeClock()
    bench = make_bench(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(bench.store, "anna"), add_user(bench.store, "ben")
    next_items(bench, anna, count=5)
    bench.version += 1  # her queue is made anew while she holds five items
    next_items(bench, anna, count=5)
    clock.advance(61)
    next_items(bench, ben, count=1)  # sweeps her leases away
    assert len(label_all(bench, anna)) == 41
    bench.close()


def test_a_heartbeat_keeps_the_lease(db_url, manifest):
    clock = FakeClock()
    bench = make_bench(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(bench.store, "anna"), add_user(bench.store, "ben")
    held = [row["id"] for row in next_items(bench, anna, count=5)[0]]
    for _ in range(4):
        clock.advance(40)
        assert voting.heartbeat(bench, anna, held)[0] == held
        assert voting.heartbeat(bench, ben, held)[0] == []
        next_items(bench, ben, count=1)
    assert [row["id"] for row in next_items(bench, anna, count=5)[0]] == held
    bench.close()


def test_skip_and_sign_out_release(db_url, manifest):
    bench = make_bench(manifest, db_url, overlap=1)
    anna, ben = add_user(bench.store, "anna"), add_user(bench.store, "ben")
    rows, _ = next_items(bench, anna, count=5)
    assert not voting.skip(bench, anna, skip_id="skip-0001", assignment_id=rows[0]["id"], reason="too dark")
    assert voting.skip(bench, anna, skip_id="skip-0001", assignment_id=rows[0]["id"], reason="too dark")
    assert voting.leave(bench, anna) == 4
    assert len(label_all(bench, ben)) == 42
    again = make_bench(manifest, db_url, overlap=2)
    shown_again = {row["item_id"] for row in label_all(again, anna)}
    assert len(shown_again) == 41
    assert rows[0]["item_id"] not in shown_again  # what was skipped is not shown again, what was only held is
    bench.close()
    again.close()


def test_undo_any_number_back_reopens_the_last_undone_first(db_url, manifest):
    bench = make_bench(manifest, db_url)
    anna = add_user(bench.store, "anna")
    done = label_all(bench, anna, limit=4)
    next_items(bench, anna, count=5)
    for number, row in enumerate(reversed(done)):
        undone, level = voting.undo(bench, anna, f"undo-000{number}")
        assert (undone["id"], level) == (row["id"], 2)
    assert voting.undo(bench, anna, "undo-0003")[0]["id"] == done[0]["id"]  # a retry undoes nothing more
    assert voting.undo(bench, anna, "undo-0009") is None
    assert [row["id"] for row in next_items(bench, anna, count=5)[0][:4]] == [row["id"] for row in done]
    assert progress_of(bench, anna).done == 0
    vote(bench, anna, done[0], 4)
    with bench.store.read() as connection:
        assert connection.execute(text("SELECT level FROM current_votes")).scalars().all() == [4]
        assert connection.execute(text("SELECT COUNT(*) FROM events WHERE kind = 'vote'")).scalar_one() == 5
        check_consistency(connection)
    bench.close()


def test_training_then_qualification_then_work(db_url, manifest):
    bench = make_bench(manifest, db_url)
    boss, anna = add_user(bench.store, "boss", role="reviewer"), add_user(bench.store, "anna")
    for index, item in enumerate(bench.catalogue.ids[:12].tolist()):
        purpose = "training" if index < 5 else "qualification"
        request = GoldRequest(
            gold_id=f"gold-{index:04d}", item_id=item, level=1 + index % 4, purpose=purpose, note="look"
        )
        store_gold(bench, boss, request)
    expected = {item: gold.level for item, gold in bench.gold.items()}
    seen = []
    for _ in range(5):
        rows, _ = next_items(bench, anna, count=5)
        seen.append(expected[rows[0]["item_id"]])
        feedback = vote(bench, anna, rows[0], level=1).feedback
        assert (feedback.expected_level, feedback.within_one) == (seen[-1], seen[-1] <= 2)
    assert seen == sorted(seen, reverse=True)
    assert current_stage(bench, anna) == "qualification"
    for _ in range(7):
        rows, _ = next_items(bench, anna, count=1)
        voted = vote(bench, anna, rows[0], level=5 - expected[rows[0]["item_id"]])  # all wrong
        assert voted.feedback is None
    assert next_items(bench, anna, count=1) == ([], "qualification")  # a person decides
    with bench.store.write() as connection:
        connection.execute(text("UPDATE users SET stage = 'work' WHERE name = 'anna'"))
    assert len(label_all(bench, anna)) == 30
    bench.close()


def test_gold_and_repeats_are_mixed_in_and_look_like_work(db_url, tmp_path):
    bench = make_bench(make_manifest(tmp_path, 90), db_url, gold_rate=0.1, repeat_rate=0.1, overlap=1)
    bench.rng = np.random.default_rng(1)
    boss, anna = add_user(bench.store, "boss", role="reviewer"), add_user(bench.store, "anna")
    for item in bench.catalogue.ids[:4].tolist():
        store_gold(bench, boss, GoldRequest(gold_id=f"gold-{item:04d}", item_id=item, level=2))
    kinds = Counter(row["kind"] for row in label_all(bench, anna))
    assert kinds["work"] == 86
    assert kinds["gold"] == 4
    assert 2 <= kinds["repeat"] <= 20
    bench.close()


def test_order_uncertain_comes_first_and_is_marked(db_url, tmp_path):
    path = make_manifest(tmp_path, 42)
    scored = read_manifest(path)
    scored.with_columns({"score": [1.5 if index < 10 else 1.0 for index in range(42)]}).write()
    bench = make_bench(path, db_url, order="uncertain", random_share=0.0, overlap=1)
    anna = add_user(bench.store, "anna")
    first_ten = label_all(bench, anna, limit=10)
    uncertain = set(bench.catalogue.ids[:10].tolist())
    assert len(uncertain & {row["item_id"] for row in first_ten}) >= 8  # the clip rule may defer one or two
    with bench.store.read() as connection:
        chosen = Counter(connection.execute(text("SELECT chosen_by FROM assignments")).scalars())
    assert chosen == {"worth": 10}
    bench.close()

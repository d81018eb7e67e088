"""Who labels what: the pure rules as tables."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling_app.annotation import assignments as rules
from labeling_app.annotation.assignments import Gold
from labeling_app.annotation.filters import parse_where
from labeling_app.annotation.progress import votes_per_hour
from labeling_app.annotation.quota import Rule, matches, wanted_overlap


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
    order = rules.uncertain_order(np.arange(6), worth, at_random=np.zeros(6, dtype=bool))
    assert order.tolist() == [1, 4, 3, 2, 0, 5]
    order = rules.uncertain_order(
        np.array([5, 3, 1, 0, 2, 4]), worth, at_random=np.array([1, 0, 0, 0, 0, 1], dtype=bool)
    )
    assert order.tolist() == [1, 5, 4, 3, 0, 2]  # 5 and 0 at random, in the order given; the others for their worth


def test_what_is_drawn_at_random_is_an_unbiased_sample_of_the_set():
    worth = np.repeat([1.0, 0.0], [400, 3600])  # a tenth is worth much
    at_random = rules.in_random_share(range(4000), 0, share=0.25)
    assert at_random.mean() == pytest.approx(0.25, abs=0.02)
    for name in ("anna", "ben"):
        random_order = rules.annotator_rng(0, name).permutation(4000)
        order = rules.uncertain_order(random_order, worth, at_random=at_random)
        assert sorted(order.tolist()) == list(range(4000))
        for num_shown in (400, 2000, 4000):
            drawn = order[:num_shown][at_random[order[:num_shown]]]
            assert len(drawn) == pytest.approx(num_shown / 4, rel=0.1)
            assert worth[drawn].mean() == pytest.approx(0.1, abs=0.06)


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
    [
        ([], None),
        ([0], None),
        ([0, 10, 20], 360),
        ([0, 10, 4000, 4010], 360),
        ([0, 4000], None),
        ([20, 0, 10], 360),
        ([5, 5], None),
    ],
)
def test_pace_leaves_breaks_out(seconds, rate):
    assert votes_per_hour([int(s * 1e6) for s in seconds]) == rate


def test_overlap_rules_the_newest_that_fits_wins():
    row = {"source": "videos", "resolution": "1080p", "clip": "a.mp4", "triplet_id": "x", "interval": 6}
    rules_ = [Rule(5, {}), Rule(7, parse_where(["resolution=1080p", "interval=4-8"])), Rule(1, {"source": "other"})]
    assert wanted_overlap(row, default=3, rules=rules_) == 7
    assert wanted_overlap({**row, "interval": 9}, default=3, rules=rules_) == 5
    assert wanted_overlap(row, default=3, rules=[]) == 3
    assert matches(row, {"interval": "6"})


def test_where_a_model_errs_comes_first():
    scores = np.array([1.0, 1.5, 4.0, np.nan, 2.0])
    levels = np.array([1.0, np.nan, 1.0, 3.0, 3.5])
    assert rules.worth_to_the_model(scores, levels).tolist() == [0, 1, 1, 0, 0.5]

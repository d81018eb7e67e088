"""Rules of paired comparison: which rows are a pair, who stands on which side, and what an answer means."""

import itertools

import pytest

from labeling_app.annotation.pairing import answer_of, pred_is_left, side_of, with_rivals

ROW = {"triplet_id": "t", "img0_sha256": "0", "gt_sha256": "g", "img1_sha256": "1", "pred_sha256": "p", "pred": "p.png"}
OTHER = {**ROW, "pred_sha256": "q", "pred": "q.png", "predictor": "slow"}


@pytest.mark.parametrize(
    ("changes", "is_pair"),
    [
        ({}, True),
        ({"triplet_id": "u"}, False),
        ({"gt_sha256": "h"}, False),
        ({"img1_sha256": "2"}, False),
        ({"pred_sha256": "p"}, False),
    ],
    ids=["another prediction", "another triplet", "another truth", "another input", "the same prediction"],
)
def test_a_pair_has_the_same_frames_and_another_prediction(changes, is_pair):
    other = {**OTHER, **changes}
    found = list(with_rivals([ROW], {other["triplet_id"]: other}))
    assert found == ([{**ROW, "rival": "q.png", "rival_sha256": "q", "rival_predictor": "slow"}] if is_pair else [])


def test_sides_take_turns_on_an_item_and_start_by_chance():
    sides = [[pred_is_left(b"secret", item, earlier) for earlier in range(4)] for item in range(2000)]
    assert all(a != b for turns in sides for a, b in itertools.pairwise(turns))
    assert 900 < sum(turns[0] for turns in sides) < 1100
    assert sides[:40] != [[pred_is_left(b"other", item, earlier) for earlier in range(4)] for item in range(40)]


def test_an_answer_says_which_prediction_wherever_it_stood():
    seen = list(itertools.product(("left", "same", "right"), (True, False)))
    stored = [answer_of(worse, pred_left=left) for worse, left in seen]
    assert stored == [1, 3, 2, 2, 3, 1]
    assert [side_of(answer, pred_left=left) for answer, (_, left) in zip(stored, seen, strict=True)] == [
        worse for worse, _ in seen
    ]

"""Who is admitted: careful people nearly always, constant and random voters hardly ever. Simulated, not argued."""

import numpy as np
import pytest

from labeling_app.annotation.qualification import Bound, judge, qualification_bound
from labeling_app.quality.agreement import confusion, weighted_kappa

DRAWS = 4000
SETS = {
    "ten, even": (1, 1, 1, 2, 2, 2, 3, 3, 4, 4),
    "ten, middle": (1, 2, 2, 2, 2, 3, 3, 3, 3, 4),
    "eight": (1, 1, 2, 2, 3, 3, 4, 4),
    "six": (1, 2, 2, 3, 3, 4),
}


def passing(gold, draw, tries=1):
    """Return the share of ``DRAWS`` voters who pass at least one of their tries."""
    rng = np.random.default_rng(7)
    passed = [
        any(judge(list(zip(draw(rng, np.array(gold)).tolist(), gold, strict=True)), tries=tries).passed
            for _ in range(tries))
        for _ in range(DRAWS)
    ]  # fmt: skip
    return float(np.mean(passed))


def uniform(rng, gold):
    return rng.integers(1, 5, len(gold))


def middle(rng, gold):
    return rng.integers(2, 4, len(gold))


def like_gold(rng, gold):
    return rng.choice(gold, len(gold))


def careful(rng, gold):
    """Hits four of five levels, else one beside it."""
    return np.where(rng.random(len(gold)) < 0.8, gold, np.clip(gold + rng.choice([-1, 1], len(gold)), 1, 4))


@pytest.mark.parametrize("gold", SETS.values(), ids=SETS)
@pytest.mark.parametrize("draw", [uniform, middle, like_gold])
def test_random_voters_fail_with_99_percent_all_tries_together(gold, draw):
    assert passing(gold, draw, tries=3) <= 0.013  # 1 %, and three standard errors of the simulation


@pytest.mark.parametrize("gold", SETS.values(), ids=SETS)
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_always_the_same_level_fails(gold, level):
    assert not judge([(level, expected) for expected in gold]).passed


@pytest.mark.parametrize(("name", "share"), [("ten, even", 0.99), ("ten, middle", 0.97), ("eight", 0.95)])
def test_careful_people_are_admitted(name, share):
    assert passing(SETS[name], careful, tries=3) >= share


@pytest.mark.parametrize(
    ("gold", "bound"),
    [
        (SETS["ten, even"], Bound(10, 7, 0.6)),
        ((1, 4), None),  # two items: chance hits both once in sixteen
        ((2,) * 10, None),  # always 2 would be perfect
    ],
)
def test_bounds(gold, bound):
    assert qualification_bound(gold, tries=3) == bound


def test_skipping_what_is_hard_does_not_help():
    gold = SETS["ten, even"]
    pairs = [(level, level) if index < 6 else (None, level) for index, level in enumerate(gold)]
    assert not judge(pairs).passed
    assert judge([(level, level) for level in gold]).passed


def test_kappa_is_the_one_of_the_statistics():
    rng = np.random.default_rng(3)
    for _ in range(20):
        gold = rng.permutation([1, 2, 3, 4, 1, 2, 3])
        given = rng.integers(1, 5, 7)
        found = judge(list(zip(given.tolist(), gold.tolist(), strict=True))).kappa
        assert found == pytest.approx(weighted_kappa(confusion(given, gold)))

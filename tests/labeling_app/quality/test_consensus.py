"""From votes to levels: hand-worked tables, crowd-kit, and a simulation with raters of known bias."""

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene

from dataset_tools.errors import UsageError
from labeling_app.quality.annotators import fit_annotators
from labeling_app.quality.consensus import METHODS, consensus

# crowd-kit uses what pandas is going to remove.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("votes", "median", "mean", "majority"),
    [
        ([2], 2, 2.0, 2),
        ([1, 2], 2, 1.5, 2),  # ties go upward: easy is claimed only by a majority
        ([1, 4], 4, 2.5, 4),
        ([1, 1, 4], 1, 2.0, 1),
        ([1, 2, 4], 2, 7 / 3, 4),
        ([2, 3, 3, 4], 3, 3.0, 3),
        ([1, 1, 2, 2], 2, 1.5, 2),
        ([1, 2, 3, 4], 3, 2.5, 4),
        ([4, 4, 1, 1, 2], 2, 2.4, 4),
    ],
)
def test_consensus_by_hand(votes, median, mean, majority):
    names = [f"annotator {index}" for index in range(len(votes))]
    for method, expected in {"median": median, "mean": mean, "majority": majority}.items():
        levels = consensus(["x"] * len(votes), names, votes, method=method)
        assert levels.to_dict() == {"x": pytest.approx(expected)}


@pytest.fixture(scope="module")
def simulated():
    """600 items, 8 raters of known bias and noise, 3 votes each; columns task, worker, label, truth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 5, 600)
    bias = np.array([-0.9, -0.7, 0.8, 0.9, -0.1, 0.1, 0.7, -0.8])
    noise = np.array([0.3, 0.3, 0.3, 0.4, 0.2, 0.9, 0.9, 0.3])
    rows = []
    for task in range(600):
        for worker in rng.permutation(8)[:3]:
            level = np.clip(np.rint(truth[task] + bias[worker] + noise[worker] * rng.normal()), 1, 4)
            rows.append((task, worker, int(level), truth[task]))
    return pd.DataFrame(rows, columns=["task", "worker", "label", "truth"]), bias, noise


@pytest.mark.parametrize(("method", "reference"), [("dawid-skene", DawidSkene), ("one-coin", OneCoinDawidSkene)])
def test_consensus_equals_crowd_kit(simulated, method, reference):
    table, _, _ = simulated
    expected = reference(n_iter=100).fit_predict(table[["task", "worker", "label"]]).sort_index()
    levels = consensus(table["task"], table["worker"], table["label"], method=method)
    assert levels.to_numpy().tolist() == expected.to_numpy().tolist()


def test_majority_equals_crowd_kit_where_there_is_no_tie(simulated):
    table, _, _ = simulated
    expected = MajorityVote().fit_predict(table[["task", "worker", "label"]]).sort_index()
    clear = table.groupby("task")["label"].agg(lambda levels: levels.value_counts().iloc[0] >= 2).to_numpy()
    levels = consensus(table["task"], table["worker"], table["label"], method="majority")
    assert (levels.to_numpy()[clear] == expected.to_numpy()[clear]).all()


def test_the_rater_model_beats_the_median_and_finds_the_biases(simulated):
    table, bias, noise = simulated
    truth = table.drop_duplicates("task").sort_values("task")["truth"].to_numpy()
    levels = {
        m: consensus(table["task"], table["worker"], table["label"], method=m).to_numpy() for m in ("median", "raters")
    }
    rms = {method: np.sqrt(np.mean((found - truth) ** 2)) for method, found in levels.items()}
    right = {method: np.mean(np.rint(found) == truth) for method, found in levels.items()}
    assert rms["raters"] < 0.75 * rms["median"]
    assert right["raters"] > right["median"] + 0.1
    model = fit_annotators(table["task"].to_numpy(), table["worker"].to_numpy(), table["label"].to_numpy(dtype=float))
    # Levels end at 1 and 4, which cuts off part of every bias: the order and the sign are what remains.
    assert np.corrcoef(model.bias, bias)[0, 1] > 0.95
    assert (np.sign(model.bias)[[0, 1, 2, 3]] == np.sign(bias)[[0, 1, 2, 3]]).all()
    assert set(np.argsort(-model.inconsistency)[:2].tolist()) == {5, 6} == set(np.argsort(-noise)[:2].tolist())


def test_rater_model_by_hand():
    # Two raters, one always a level higher: the truth is half-way, the biases are -0.5 and 0.5, the noise is the prior.
    model = fit_annotators(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert model.levels == pytest.approx([1.5, 3.5])
    assert model.bias == pytest.approx([-0.5, 0.5])
    assert model.inconsistency == pytest.approx([np.sqrt(5 * 0.25 / 7)] * 2)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_one_vote_and_none(method):
    assert consensus([7], ["anna"], [3], method=method).to_dict() == {7: pytest.approx(3)}
    assert consensus([], [], [], method=method).empty


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("items", "annotators", "levels"),
    [
        ([0] * 60, list(range(60)), [1 + i % 4 for i in range(60)]),  # one item
        (list(range(60)), ["a"] * 60, [1 + i % 4 for i in range(60)]),  # one annotator
        ([0, 0, 1, 1, 2, 2], ["a", "b"] * 3, [2] * 6),  # one level
        ([0, 0, 1, 1, 2, 2], ["a", "b"] * 3, [1, 4] * 3),  # nobody agrees
        (list(range(6)), ["a"] * 3 + ["b"] * 3, [1, 1, 4, 4, 4, 1]),  # annotators without an item in common
        (list(range(5)) * 200, [i // 5 for i in range(1000)], [1 + i % 3 for i in range(1000)]),  # 200 votes an item
    ],
)
def test_every_method_stays_on_the_scale_whatever_the_votes(method, items, annotators, levels):
    found = consensus(items, annotators, levels, method=method)
    assert found.index.tolist() == sorted(set(items))
    assert found.between(min(levels), max(levels)).all()  # NaN is not between


def test_an_unknown_method_names_the_choices():
    with pytest.raises(UsageError, match="'best' must be one of median, mean"):
        consensus([1], ["anna"], [1], method="best")

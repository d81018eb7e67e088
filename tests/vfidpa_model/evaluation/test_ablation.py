"""The ablation's table: seeds are averaged, and differences are paired over clips."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from vfidpa_model.evaluation.ablation import summarise, to_markdown
from vfidpa_model.evaluation.comparison import MODEL
from vfidpa_model.evaluation.cost import Cost
from vfidpa_model.evaluation.measures import measure_all

CLIPS = [f"clip{index // 5}" for index in range(60)]
LEVELS = np.random.default_rng(3).uniform(1, 4, 60)


def record(noise, *, seed):
    scores = LEVELS + noise * np.random.default_rng(seed).normal(size=len(LEVELS))
    pairs = [
        {"triplet_id": str(i), "score": s, "level": v} for i, (s, v) in enumerate(zip(scores, LEVELS, strict=True))
    ]
    return {
        "rows": {MODEL: {"measures": measure_all(scores, LEVELS)}},
        "facts": {"backbone started from": "none", "device": "cpu"},
        "pairs": pairs,
        "num_pairs": 60,
        "num_clips": 12,
    }


@pytest.fixture(scope="module")
def table():
    records = {
        "paper": [record(3.0, seed=1), record(3.0, seed=2)],
        "full": [record(0.3, seed=3), record(0.3, seed=4)],
        "twin": [record(0.3, seed=5), record(0.3, seed=6)],
    }
    costs = {key: Cost(parameters=1e6, gmacs=2.0, milliseconds=3.0) for key in records}
    found = summarise(records, titles={key: key for key in records}, costs=costs, clips=CLIPS)
    options = {"labels": "proxy", "resolution": "256p", "epochs": 2, "batch": 8, "crop": 128, "seeds": 2}
    return {
        **found,
        "options": {**options, "split": "test", "backbone": "efficientnet_lite0", "input_height": 128, "ahiq_patch": 8},
    }


def test_the_difference_is_that_of_the_mean_srcc_and_tells_rows_apart_only_where_they_differ(table):
    paper, full, twin = table["rows"]
    assert full["srcc_gain"] is None
    assert table["reference"] == "full"
    by_hand = [
        np.mean([spearmanr(LEVELS + noise * np.random.default_rng(seed).normal(size=60), LEVELS)[0] for seed in seeds])
        for noise, seeds in ((3.0, (1, 2)), (0.3, (3, 4)))
    ]
    value, low, high = paper["srcc_gain"]
    assert value == pytest.approx(by_hand[0] - by_hand[1])
    assert low < value < high < 0
    assert twin["srcc_gain"][1] < 0 < twin["srcc_gain"][2]


def test_the_page_names_backbone_and_reference_and_shows_intervals(table):
    page = to_markdown(table)
    assert "backbone efficientnet_lite0 in place of Swin-T" in page
    assert "reference: full." in page
    assert "crop 128, 128 rows seen, 2 seeds" in page
    value, low, high = table["rows"][0]["srcc_gain"]
    assert f"| {value:+.3f} [{low:+.3f}, {high:+.3f}] | 1.0 | 2.0 | 3 |" in page

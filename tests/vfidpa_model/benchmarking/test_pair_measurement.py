"""Pair by pair: nothing else runs while a model is timed; a journal belongs to the options of its rows."""

import time
from dataclasses import replace

import pytest
import torch

from dataset_tools.errors import UsageError
from tests.vfidpa_model import miniatures
from tests.vfidpa_model.simple_interpolators import Mean
from vfidpa_model.benchmarking import pair_measurement
from vfidpa_model.benchmarking.pair_measurement import Plan, measure
from vfidpa_model.benchmarking.protocols import PROTOCOLS
from vfidpa_model.benchmarking.sets import load_set, read_item


@pytest.fixture
def items(tmp_path, demo_clips):
    return load_set("vimeo90k", miniatures.make_vimeo90k(tmp_path, demo_clips))


def plan_of(model):
    return Plan("vimeo90k", PROTOCOLS["rife"], {"mean": model}, {}, torch.device("cpu"), identity={"limit": 1})


def test_nothing_is_decoded_while_a_model_is_timed_on_a_cpu(items, monkeypatch):
    reading, seen = set(), []

    def read(item):
        reading.add(item.key)
        time.sleep(0.02)  # so that it would still go on
        reading.discard(item.key)
        return read_item(item)

    class Watching(Mean):
        def interpolate(self, img0, img1, timestep=0.5):
            seen.append(set(reading))
            return super().interpolate(img0, img1, timestep)

    monkeypatch.setattr(pair_measurement, "read_item", read)
    assert [row["key"] for row in measure(items, plan_of(Watching()))] == [item.key for item in items]
    assert seen == [set()] * 4  # three, and one to warm up


def test_a_journal_without_rows_holds_nobody_to_its_options(items, tmp_path):
    journal, missing = tmp_path / "pairs.jsonl", [replace(item, img0=tmp_path / "gone.png") for item in items]
    first, left_out = plan_of(Mean()), {}
    other = replace(first, identity={"limit": 2})
    assert measure(missing, first, journal=journal, left_out=left_out) == []
    assert len(left_out) == len(items)
    assert len(measure(items, other, journal=journal)) == len(items)
    with pytest.raises(UsageError, match="belongs to a run with other options"):
        measure(items, first, journal=journal)
    assert len(measure(missing, other, journal=journal)) == len(items)  # of the journal

"""What several packages share: tables in Markdown, whole lines of a log, resampling of groups."""

import json

import numpy as np
import pytest

from dataset_tools.common.json_lines import read_json_lines, whole_lines
from dataset_tools.common.markdown import to_table
from dataset_tools.common.statistics import draw_groups, interval95


def test_a_table_has_a_head_and_its_cells_cannot_break_it():
    assert to_table(["a", "b"], [[1, "x|y"], ["", None]]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n|  | None |"


@pytest.mark.parametrize("cut", range(0, 41, 3))
def test_of_a_file_cut_off_anywhere_the_whole_lines_are_read(tmp_path, cut):
    records = [{"step": 1, "ü": None}, {"step": 2}, [3]]
    data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    (tmp_path / "log").write_bytes(data[:cut])
    num_whole = data[:cut].count(b"\n")
    assert read_json_lines(tmp_path / "log") == records[:num_whole]
    lines = data[:cut].splitlines(keepends=True)
    assert whole_lines(lines) == (records[:num_whole], len(b"".join(lines[:num_whole])))


def test_no_file_has_no_lines_and_nothing_counts_after_a_broken_one(tmp_path):
    assert read_json_lines(tmp_path / "none") == []
    assert whole_lines([b"1\n", b"\x00\x00\n", b"2\n"]) == ([1], 2)


def test_groups_are_drawn_whole_and_in_proportion():
    groups = ["b", "a", "b", "c", "b"]
    times = draw_groups(groups, generator=np.random.default_rng(0), resamples=3000)
    assert times.shape == (3000, 5)
    assert (times[:, [2, 4]] == times[:, :1]).all()
    assert (times[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert times.mean(axis=0) == pytest.approx(np.ones(5), abs=0.05)


def test_an_interval_leaves_out_what_is_not_defined():
    assert np.isnan(interval95([])).all()
    assert np.isnan(interval95([np.nan])).all()
    assert interval95([np.nan, 1.0, 1.0]) == (1.0, 1.0)

"""Times that a budget can rest on: what load does to single samples, and curves that never run backwards."""

import numpy as np
import pytest

from vfidpa_model.benchmark import FLOW, _warn_of_lopsided, dynamic_entries
from vfidpa_model.benchmarking.report import curves, model_entry, router_values
from vfidpa_model.benchmarking.times import typical_seconds, unsteady


def rows_of(num, *, loaded=(), size=(456, 256)):
    """Return rows of a fast (0.1 s) and an accurate model (0.4 s) with a router; loaded rows took ten times as long."""
    rng = np.random.default_rng(0)
    found = []
    for place in range(num):
        slow = 10.0 if place in loaded else 1.0
        found.append(
            {
                "key": f"{size}-{place}",
                "subset": "all",
                "sequence": f"s{place % 7}",
                "size": list(size),
                "models": {
                    name: {
                        "psnr": psnr,
                        "ssim": 0.9,
                        "lpips": None,
                        "ie": 1.0,
                        "seconds": seconds * slow,
                    }
                    for name, psnr, seconds in (("a", 30 + rng.random(), 0.1), ("b", 32 + rng.random(), 0.4))
                },
                "routers": {"model": {"score": float(rng.random()), "seconds": 0.01 * slow}},
            }
        )
    return found


def test_a_busy_minute_does_not_move_the_times():
    quiet, busy = rows_of(20), rows_of(20, loaded=range(6))
    for name, seconds in (("a", 0.1), ("b", 0.4)):
        assert model_entry(quiet, name).seconds == pytest.approx(seconds)
        assert model_entry(busy, name).seconds == pytest.approx(seconds)
    assert router_values(busy, "model", "seconds") == pytest.approx(0.01)


def test_each_frame_size_has_its_own_time():
    rows = [*rows_of(4), *rows_of(4, size=(1280, 720), loaded=range(4))]
    assert typical_seconds(rows, np.arange(8.0)) == pytest.approx([1.5] * 4 + [5.5] * 4)
    assert model_entry(rows, "a").seconds == pytest.approx([0.1] * 4 + [1.0] * 4)


def test_curves_never_run_backwards_under_load():
    rows = rows_of(24, loaded=(1, 5, 9, 13, 20))
    for points in curves(rows, model_entry(rows, "a"), model_entry(rows, "b")).values():
        by_share = sorted(points, key=lambda point: point.share)
        assert (np.diff([point.seconds for point in by_share]) >= 0).all()


def test_large_spreads_are_said():
    assert unsteady(rows_of(20)) == []
    assert unsteady(rows_of(20, loaded=range(4))) == []  # a fifth disturbed leaves the median alone
    said = unsteady(rows_of(20, loaded=range(8)))
    assert [line.split(" at ")[0] for line in said] == [f"times of {name}" for name in ("a", "b", "model")]
    assert "median 0.100" in said[0]
    assert unsteady(rows_of(3, loaded=(0,))) == []


def test_a_threshold_that_routes_nothing_and_scores_that_are_no_numbers(capsys):
    rows = rows_of(24)
    for row in rows:
        row["routers"][FLOW] = {"score": 1.0, "seconds": 0.01}
    fast, accurate = model_entry(rows, "a"), model_entry(rows, "b")
    shares = [entry.share.mean() for entry in dynamic_entries(rows, fast, accurate, [9.0, 0.5])[:2]]
    assert shares[0] == 0 < shares[1] < 1
    _warn_of_lopsided(rows, [9.0, 0.5])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("warning: model: only 0.0% of 24 pairs go to the accurate model at threshold 9")
    for row in rows:
        row["routers"]["model"]["score"] = float("nan")
    assert dynamic_entries(rows, fast, accurate, [9.0])[0].share.mean() == 1
    _warn_of_lopsided(rows, [9.0])
    assert "only 0.0% of 24 pairs go to the fast model" in capsys.readouterr().err


def test_journals_from_before_sizes_were_kept_still_count():
    rows = [{key: value for key, value in row.items() if key != "size"} for row in rows_of(5, loaded=(0,))]
    assert model_entry(rows, "b").seconds == pytest.approx(0.4)

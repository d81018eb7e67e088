"""From measured pairs to a threshold: curves, goals, the saved calibration, and the command on a real manifest."""

import json

import numpy as np
import pytest
import torch

from dataset_tools.errors import UsageError
from dataset_tools.manifest import from_rows
from tests.vfidpa_model import miniatures
from vfidpa_model.calibration import main
from vfidpa_model.inference.checkpoint import save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.routing.calibrated import Calibration, CalibrationError
from vfidpa_model.routing.quality_cost import Measured, curve, quality_at, random_curve

# Four pairs: the accurate model gains 0, 1, 2 and 5 dB; it takes 4 s, the fast one 1 s, the assessment 0.1 s.
MEASURED = Measured(
    np.array([40.0, 35.0, 30.0, 25.0]), np.array([40.0, 36.0, 32.0, 30.0]), np.full(4, 1.0), np.full(4, 4.0)
)
SCORES = np.array([1.0, 2.0, 3.0, 4.0])


def example() -> Calibration:
    points = curve(MEASURED, SCORES, router_seconds=0.1)
    return Calibration("rife", "rife-full", 1.0, 4.0, 34.5, points, 4, "cpu (1 threads)")


def test_curve_holds_every_setting_from_all_accurate_to_all_fast():
    points = example().points
    assert [point.share for point in points] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert [point.quality for point in points] == [34.5, 34.5, 34.25, 33.75, 32.5]
    assert [point.seconds for point in points] == pytest.approx([4.1, 3.35, 2.6, 1.85, 1.1])
    assert [point.threshold for point in points] == [0.0, 1.5, 2.5, 3.5, 4.0]


def test_equal_scores_are_one_setting_and_the_ends_of_random_are_both_models():
    assert [point.share for point in curve(MEASURED, np.zeros(4))] == [1.0, 0.0]
    assert [(p.share, p.seconds, p.quality) for p in random_curve(MEASURED)] == [(0.0, 1.0, 32.5), (1.0, 4.0, 34.5)]
    assert quality_at(random_curve(MEASURED), seconds=2.5) == 33.5


@pytest.mark.parametrize(
    ("goal", "threshold"),
    [
        ({"budget": 0.5}, 3.5),
        ({"budget": 0.65}, 2.5),
        ({"budget": 2.0}, 1.5),
        ({"quality": 0.0}, 1.5),
        ({"quality": 0.25}, 2.5),
        ({"quality": 5}, 4.0),
    ],
)
def test_goals_give_thresholds(goal, threshold):
    assert example().threshold(**goal) == threshold


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({"budget": 0.2}, r"budget \(0.2\) must be at least 0.28"),
        ({"quality": -1}, r"quality \(-1 dB\) must be at least 0.000 dB"),
        ({}, "either a budget or a quality"),
        ({"budget": 1, "quality": 1}, "either a budget or a quality"),
    ],
)
def test_impossible_goals_say_what_is_possible(goal, message):
    with pytest.raises(UsageError, match=message):
        example().threshold(**goal)


def test_calibration_is_read_back_and_damage_is_named(tmp_path):
    example().write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path) == example()
    values = json.loads((tmp_path / "calibration.json").read_text())
    for name, broken in {
        "json": "{",
        "version": json.dumps({**values, "format_version": 9}),
        "points": json.dumps({**values, "points": []}),
        "field": json.dumps({key: value for key, value in values.items() if key != "fast"}),
    }.items():
        (tmp_path / f"{name}.json").write_text(broken)
        with pytest.raises(CalibrationError, match=f"{name}.json"):
            Calibration.read(tmp_path / f"{name}.json")
    with pytest.raises(CalibrationError, match="does not exist"):
        Calibration.read(tmp_path / "none.json")


def test_command_calibrates_on_an_unlabelled_manifest(tmp_path, demo_clips, capsys):
    miniatures.make_vimeo90k(tmp_path, demo_clips)
    rows = []
    for clip, split in (("00001/0389", "val"), ("00001/0402", "val"), ("00078/0651", "train")):
        images = {column: f"sequences/{clip}/im{n}.png" for n, column in enumerate(("img0", "gt", "img1"), start=1)}
        triplet = f"vimeo90k/{clip}/0-1-2@256p"
        rows.append({"triplet_id": triplet, "source": "vimeo90k", "clip": clip, "resolution": "256p", "split": split})
        rows[-1] |= images
    from_rows(tmp_path / "data_manifest.parquet", rows).write()
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "run" / "best", VFIDPA(ModelConfig(backbone="efficientnet_lite0")), meta={})
    options = [str(tmp_path), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    options += ["--backend", "torch"]
    assert main([*options, "--budget", "5"]) == 0
    assert capsys.readouterr().out.startswith("threshold ")
    calibration = Calibration.read(tmp_path / "out")
    assert (calibration.pairs, calibration.fast) == (2, "rife-3.9")
    assert (tmp_path / "out" / "quality_time.png").read_bytes().startswith(b"\x89PNG")
    for wrong, code, message in (
        (["--budget", "1", "--quality", "1"], 2, "either --budget or --quality"),
        (["--split", "test"], 1, "no triplets to calibrate on"),
        (["--split", "mine"], 2, "must be one of train, val, test or all"),
    ):
        assert main([*options, *wrong]) == code
        assert message in capsys.readouterr().err
    (tmp_path / "sequences" / "00001" / "0402" / "im2.png").write_bytes(b"torn")
    assert main([*options, "--out", str(tmp_path / "part"), "--budget", "5"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("threshold ")
    assert "1 of 2 triplets were left out, the first is" in printed.err
    assert Calibration.read(tmp_path / "part").pairs == 1

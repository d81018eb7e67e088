"""The model that comes with the toolkit: small, loaded by name, the same figures everywhere, no test clip in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from dataset_tools.frames import write_image
from tests.vfidpa_model.light_checkpoint import real_frames
from vfidpa_model import load_assessor
from vfidpa_model.inference.checkpoint import SHIPPED, find_checkpoint
from vfidpa_model.predict import main

# Clip, frames, score. Recorded when the model was made, on an x86-64 CPU.
RECORDED = [
    ("bikes.mp4", (2, 3), 2.196),
    ("bikes.mp4", (2, 12), 2.830),
    ("bigbuckbunny.mp4", (2, 3), 1.034),
    ("bigbuckbunny.mp4", (2, 12), 2.449),
    ("carphone_pristine.mp4", (2, 6), 1.918),
]


@pytest.fixture(scope="module")
def assessor():
    return load_assessor("light")


def test_its_figures(assessor, demo_clips):
    found = [assessor.predict(*real_frames(demo_clips / clip, pair))[0] for clip, pair, _ in RECORDED]
    assert found == pytest.approx([score for *_, score in RECORDED], abs=0.02)


def test_frames_further_apart_are_harder(assessor, demo_clips):
    for clip in ("bikes.mp4", "bigbuckbunny.mp4"):
        first, *others = real_frames(demo_clips / clip, (2, 3, 6, 12, 22))
        scores = [assessor.predict(first, other)[0] for other in others]
        assert (np.diff(scores) > 0).all()


def test_the_weights_are_small_and_of_half_precision():
    path = SHIPPED["light"] / "model.safetensors"
    assert path.stat().st_size <= 8_000_000
    with safe_open(path, "pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds == {"F16", "I64"}  # the latter are counters of batch normalisation


def test_predict_needs_no_run(assessor, demo_clips, tmp_path, capsys):
    frames = real_frames(demo_clips / "bikes.mp4", (3, 6))
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, rgb in zip(paths, frames, strict=True):
        write_image(path, rgb)
    for argv in ([], ["light"]):
        assert main([*argv, *map(str, paths), "--device", "cpu"]) == 0
        assert capsys.readouterr().out.startswith(f"{assessor.predict(*frames)[0]:.3f} (")


def test_a_folder_of_the_same_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(Path("light")) == SHIPPED["light"]
    (tmp_path / "light").mkdir()
    (tmp_path / "light" / "checkpoint.json").write_text("{}")
    assert find_checkpoint(Path("light")) == Path("light")


def test_it_says_what_it_was_trained_on():
    meta = json.loads((SHIPPED["light"] / "checkpoint.json").read_text())["meta"]
    card = (SHIPPED["light"] / "README.md").read_text()
    trained = [Path(clip).stem.split("_")[0] for clip in (*meta["clips"]["train"], *meta["clips"]["val"])]
    assert len(trained) == 27
    assert not {"rabbitwakes", "bikes"} & set(trained)  # films of the demo set
    assert all(name in card for name in trained)
    assert "proxy" in card

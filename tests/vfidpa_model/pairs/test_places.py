"""Labels of crops: LPIPS by place against LPIPS of the crop itself, and what a training crop is then told."""

from dataclasses import replace

import numpy as np
import pytest

from dataset_tools.frames import write_image
from dataset_tools.manifest import read_manifest
from dataset_tools.prediction.metrics import Lpips
from dataset_tools.prediction.proxy_levels import proxy_level
from tests.vfidpa_model.labelled_set import decode, labelled_manifest
from vfidpa_model.pairs.labels import proxy_pictures, select_samples
from vfidpa_model.pairs.loading import FrameReader, TrainingPairs
from vfidpa_model.pairs.places import LpipsPlaces, measure_places, window_mean


def test_window_means_go_by_centres_and_any_frame_size():
    cells = np.arange(6, dtype=np.float32).reshape(2, 3)  # of a frame of 16 x 24 pixels
    assert window_mean(cells, (slice(0, 8), slice(8, 24)), frame=(16, 24)) == 1.5
    assert window_mean(cells, (slice(3, 12), slice(0, 9)), frame=(16, 24)) == 0.0  # the others' centres are outside
    assert window_mean(cells, (slice(0, 160), slice(0, 80)), frame=(160, 240)) == 1.5  # measured at a tenth


def test_lpips_by_place_stands_for_lpips_of_the_crop(demo_clips):
    """On a pair in which one half stands still: there the crop differs most from its frame."""
    lpips = Lpips()
    frames = decode(demo_clips / "bikes.mp4", 24)
    a, b = frames[1][:224, :512], frames[22][:224, :512].copy()
    b[:, 256:] = a[:, 256:]
    cells = lpips.by_place(a, b, cell=8)
    assert cells.shape == (28, 64)
    whole = lpips(a, b)
    assert cells.mean() == pytest.approx(whole, rel=0.05)
    windows = [(slice(0, 224), slice(left, left + 224)) for left in (0, 32, 144, 288)]
    exact = np.array([lpips(a[window], b[window]) for window in windows])
    by_place = np.array([window_mean(cells, window, frame=(224, 512)) for window in windows])
    assert np.abs(by_place - exact).mean() < 0.3 * np.abs(whole - exact).mean()


@pytest.fixture
def proxies(tmp_path, demo_clips):
    """A manifest whose levels are proxies, with predictions that fail in the left half only."""
    manifest = labelled_manifest(tmp_path, demo_clips)
    rows = len(manifest)
    names = []
    for number, row in enumerate(manifest.rows()):
        names.append(f"pred/{number}.png")
        truth = FrameReader()._frame(tmp_path / row["gt"], None, (64, 64))
        broken = truth.copy()
        broken[:, :32] = np.random.default_rng(number).integers(0, 256, (64, 32, 3))
        write_image(tmp_path / names[-1], broken)
    manifest = manifest.with_columns({"pred": names, "level_source": ["proxy"] * rows, "votes": [None] * rows})
    manifest.write()
    return read_manifest(manifest.path)


def test_a_training_crop_has_its_own_lpips_and_proxy_level(proxies, tmp_path):
    sample = select_samples(proxies, resolution="256p", labels="proxy")[0]
    reader = FrameReader()
    places = LpipsPlaces(tmp_path / "lpips", reader=reader, pictures=proxy_pictures(proxies, resolution="256p"))
    measure_places(places, [sample], device="cpu")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "lpips").iterdir()}
    assert len(files) == 2
    measure_places(places, [sample], device="cpu")  # nothing is measured twice
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "lpips").iterdir()}

    left, right = (
        places.of_window(sample, (slice(0, 64), half), frame=(64, 64)) for half in (slice(0, 24), slice(40, 64))
    )
    cells = np.load(places.prediction_file(sample)).astype(np.float64)  # 8 x 8; the left half is broken
    assert cells[:, :3].mean() > 1.3 * cells[:, 5:].mean()
    for found, part in ((left, cells[:, :3]), (right, cells[:, 5:])):
        assert found.level == proxy_level(part.mean())
        assert found.distribution[int(found.level) - 1] == 1.0
    whole = places.of_window(sample, (slice(0, 64), slice(0, 64)), frame=(64, 64))
    assert whole.inputs_lpips == pytest.approx(Lpips()(*reader.pair(sample)), rel=0.05)
    assert whole.level == proxy_level(float(np.load(places.prediction_file(sample)).mean()))

    pairs = TrainingPairs([sample], reader=reader, crop=64, seed=0, places=places)
    given = pairs[0, 0]
    assert (float(given["level"]), float(given["inputs_lpips"])) == pytest.approx((whole.level, whole.inputs_lpips))
    person = replace(places, pictures={}).of_window(sample, (slice(0, 64), slice(0, 24)), frame=(64, 64))
    assert person.level == sample.level  # a person's label is of the frame

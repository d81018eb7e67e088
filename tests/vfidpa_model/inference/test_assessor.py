"""What an assessor refuses, what it says of identical frames, and that its scores are on the fitted scale."""

import numpy as np
import pytest
import torch
from PIL import Image

from dataset_tools.errors import FrameError, UsageError
from tests.vfidpa_model.light_checkpoint import light_model, real_frames
from vfidpa_model.inference.assessor import Assessor, create_assessor
from vfidpa_model.inference.checkpoint import CheckpointError
from vfidpa_model.networks.vfidpa import FrameSizeError
from vfidpa_model.pairs.resize import seen_size

SCALE = {"scores": [1.0, 2.0, 3.0], "levels": [1.0, 2.2, 4.0], "pairs": 30}


@pytest.fixture(scope="module")
def frames(demo_clips):
    return real_frames(demo_clips / "bikes.mp4", (3, 6))


@pytest.fixture(scope="module")
def model():
    return light_model(input_height=64)


def as_floats(rgb):
    return torch.from_numpy(rgb).permute(2, 0, 1).float()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image: image, r"img0 holds values from \d+ to 2\d\d"),
        (lambda image: image / 127.5 - 1, r"img0 holds values from -0\.\d+ to 1"),
        (lambda image: image / 255 * float("nan"), "img0 holds values from nan to nan"),
        (lambda image: image / 255 + float("inf"), "must be in \\[0, 1\\], or take uint8"),
    ],
)
def test_values_that_would_give_a_score_without_meaning(model, frames, change, says):
    images = [change(as_floats(rgb)) for rgb in frames]
    with pytest.raises(ValueError, match=says):
        Assessor(model).predict(*images)


def test_every_kind_of_frame_gives_the_same_score(model, frames, tmp_path):
    tensors = [torch.from_numpy(rgb).permute(2, 0, 1) for rgb in frames]
    pictures = [Image.fromarray(rgb) for rgb in frames]
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    assessor = Assessor(model)
    (expected,) = assessor(*frames)
    for kinds in (tensors, pictures, paths, [str(path) for path in paths], [t.float() / 255 for t in tensors]):
        assert assessor(*kinds) == pytest.approx(expected, abs=1e-5)
        assert assessor([kinds[0]] * 2, [kinds[1]] * 2) == pytest.approx([expected] * 2, abs=1e-5)


def test_a_list_of_mixed_sizes_gives_one_score_each_in_order(model, frames):
    first, second = frames
    windows = [(slice(0, 128), slice(0, 160)), (slice(0, 96), slice(0, 128)), (slice(40, 168), slice(20, 180))] * 4
    firsts, seconds = ([rgb[window] for window in windows] for rgb in frames)
    assessor = Assessor(model)
    apart = [assessor(*pair)[0] for pair in zip(firsts, seconds, strict=True)]
    together = assessor(firsts, seconds)
    assert together.shape == (12,)
    np.testing.assert_allclose(together, apart, atol=1e-5)
    with pytest.raises(ValueError, match="equally many frames, not 12 and 2"):
        assessor(firsts, seconds[:2])
    with pytest.raises(ValueError, match=r"pair 1: frames must have one size and kind"):
        assessor([first, first], [second, second[:128]])
    with pytest.raises(FrameError, match="no such file"):
        assessor("none.png", "none.png")
    with pytest.raises(ValueError, match="must be arrays, PIL images, tensors, paths"):
        assessor([], [])


def test_a_metric_by_name():
    frame = np.zeros((64, 64, 3), np.uint8)
    assert create_assessor("light", device="cpu")(frame, frame) == 1.0
    with pytest.raises(UsageError, match="device 'tpu' must be auto, cpu, cuda, cuda:N or mps"):
        create_assessor("light", device="tpu")


def test_identical_frames_are_level_1(model, frames):
    batch = [np.stack([frames[0]] * 2), np.stack([frames[0], frames[1]])]
    assessor = Assessor(model)
    same, other = assessor.predict(*batch)
    assert same == 1.0
    assert other == pytest.approx(assessor.predict(*frames)[0], abs=1e-5)
    found = assessor.assess(*(torch.from_numpy(images).permute(0, 3, 1, 2) for images in batch))
    assert (found.score_map[0] == 1).all()
    assert found.score_map[1].std() > 0


def test_scores_and_maps_are_on_the_fitted_scale(model, frames):
    images = [torch.from_numpy(rgb).permute(2, 0, 1)[None] for rgb in frames]
    raw, found = Assessor(model).assess(*images), Assessor(model, meta={"score_scale": SCALE}).assess(*images)
    for before, after in ((raw.score, found.score), (raw.score_map, found.score_map)):
        x = before.numpy()
        low, high = 1 + (x - 1) * 1.2, 2.2 + (x - 2) * 1.8  # both go on beyond the outer knots
        np.testing.assert_allclose(after.numpy(), np.where(x <= 2, low, high), atol=1e-5)


def test_a_damaged_scale_is_refused(model):
    with pytest.raises(CheckpointError, match="score scale must have two or more"):
        Assessor(model, meta={"score_scale": {**SCALE, "levels": [3, 2, 1]}})


@pytest.mark.parametrize(
    ("size", "rows", "seen"),
    [
        ((1920, 1080), 256, (456, 256)),
        ((1080, 2520), 128, (64, 150)),  # a telephone held upright
        ((100, 2000), 256, (64, 1280)),
        ((64, 900), 256, (64, 900)),
        ((63, 900), 256, (63, 900)),  # refused by the size it has
        ((400, 100), 128, (400, 100)),
        ((400, 100), None, (400, 100)),
    ],
)
def test_narrow_frames_keep_the_width_a_model_needs(size, rows, seen):
    assert seen_size(*size, rows=rows) == seen


def test_a_tall_narrow_pair_is_assessed_and_a_small_one_named_by_its_own_size(model):
    rng = np.random.default_rng(0)
    tall = rng.integers(0, 256, (2, 2000, 100, 3), dtype=np.uint8)
    assert np.isfinite(Assessor(model).predict(*tall)).all()
    with pytest.raises(FrameSizeError, match="63x900"):
        Assessor(model).predict(*rng.integers(0, 256, (2, 900, 63, 3), dtype=np.uint8))

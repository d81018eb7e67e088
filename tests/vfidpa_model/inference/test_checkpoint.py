"""Checkpoints: whole or refused, and an Assessor that takes frames of every kind and size."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dataset_tools.errors import UsageError
from dataset_tools.frames import fit_height
from dataset_tools.frames.area import resize_area
from tests.vfidpa_model.light_checkpoint import light_model, real_frames, save_light_run
from vfidpa_model.inference import checkpoint as checkpoints
from vfidpa_model.inference.assessor import Assessor, load_checkpoint
from vfidpa_model.inference.checkpoint import CheckpointError, read_checkpoint, save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.pairs.resize import average_areas, shrink_to_height


@pytest.fixture(scope="module")
def pair(demo_clips) -> list[np.ndarray]:
    """Two frames of a real clip, 144 x 176."""
    return real_frames(demo_clips / "carphone_pristine.mp4", (5, 9))


@pytest.fixture(scope="module")
def assessor() -> Assessor:
    """The light model, for frames of 256 rows."""
    return Assessor(light_model())


def test_a_saved_model_comes_back_the_same(tmp_path, pair):
    model = save_light_run(tmp_path / "run", head="ordinal", tier="720p", input_height=128)
    loaded = [load_checkpoint(path) for path in (tmp_path / "run", tmp_path / "run" / "best", str(tmp_path / "run"))]
    expected = Assessor(model).predict(*pair)
    for assessor in loaded:
        assert np.array_equal(assessor.predict(*pair), expected)
    assert loaded[0].config == model.config
    assert loaded[0].config.pretrained == "asset efficientnet-lite0"
    assert (loaded[0].tier_height, loaded[0].backend, loaded[0].meta) == (128, "torch", {"epoch": 3})
    assert loaded[0].weights_sha256 == read_checkpoint(tmp_path / "run").weights_sha256
    assert sorted(file.name for file in (tmp_path / "run" / "best").iterdir()) == [
        "checkpoint.json",
        "model.safetensors",
    ]


def edit(folder, **values) -> None:
    """Change fields of a checkpoint's record by hand."""
    path = folder / "checkpoint.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, **values}))


def flip_last_byte(folder) -> None:
    """Damage the weights."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def diverged():
    """Return a model with one weight that is no number."""
    model = VFIDPA(ModelConfig(backbone="efficientnet_lite0"))
    torch.nn.init.constant_(model.body.head.score.bias, torch.nan)
    return model


# As older checkpoints have them, also the one that comes with the toolkit.
RETIRED = {"difference": "both", "num_levels": 4, "score_range": "linear"}
DAMAGE = [
    (lambda folder: (folder / "checkpoint.json").unlink(), "no checkpoint in"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (lambda folder: (folder / "checkpoint.json").write_text("{"), "not JSON"),
    (lambda folder: (folder / "checkpoint.json").write_text("[" * 100_000), "is not JSON"),
    (lambda folder: (folder / "checkpoint.json").write_text("[]"), "must be a JSON object"),
    (lambda folder: (folder / "checkpoint.json").write_text("{}"), "no format_version"),
    (lambda folder: edit(folder, format_version=2), "newer than 1; update vfi-difficulty"),
    (flip_last_byte, "damaged or not the one checkpoint.json describes"),
    (lambda folder: edit(folder, config={"backbone": "vgg"}), "backbone"),
    (lambda folder: edit(folder, config={"depth": 7}), "unknown field 'depth'"),
    (lambda folder: edit(folder, config={**RETIRED, "difference": "deep"}), r"difference \('deep'\) must be 'both'"),
    (lambda folder: edit(folder, config={**RETIRED, "num_levels": 5}), r"num_levels \(5\) must be 4"),
    (lambda folder: edit(folder, config={**RETIRED, "score_range": "bounded"}), "the choice was removed; train again"),
    (lambda folder: edit(folder, config=[]), "must be JSON objects"),
    (lambda folder: edit(folder, config={"backbone": "efficientnet_lite0", "fusion_width": 7}), "do not fit"),
    (lambda folder: save_checkpoint(folder, diverged(), meta={}), "are not finite numbers"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint folder to copy from."""
    folder = tmp_path_factory.mktemp("saved")
    save_light_run(folder)
    return folder / "best"


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[message[:24] for _, message in DAMAGE])
def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(tmp_path, saved, damage, message):
    for name in ("checkpoint.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(tmp_path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_from_before_fields_were_retired_opens_and_is_written_without_them(tmp_path, saved, pair):
    expected = load_checkpoint(saved)
    for name in ("checkpoint.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    edit(tmp_path, config={**expected.config.to_dict(), **RETIRED})
    found = load_checkpoint(tmp_path)
    assert found.config == expected.config
    assert np.array_equal(found.predict(*pair), expected.predict(*pair))
    save_checkpoint(tmp_path, found.model, meta={})
    assert not RETIRED.keys() & json.loads((tmp_path / "checkpoint.json").read_text())["config"].keys()


@pytest.mark.parametrize("writes_before_crash", [0, 1, 2, 3])
def test_a_crash_while_saving_leaves_the_old_checkpoint_or_the_new_one(tmp_path, monkeypatch, writes_before_crash):
    model = light_model()
    save_checkpoint(tmp_path, model, meta={"epoch": 1})
    with torch.no_grad():
        model.body.head.score.bias.add_(1)
    left = writes_before_crash

    def limited(write):
        def wrapped(*arguments):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return write(*arguments)

        return wrapped

    monkeypatch.setattr(checkpoints, "write_json", limited(checkpoints.write_json))
    monkeypatch.setattr(checkpoints, "write_bytes", limited(checkpoints.write_bytes))
    try:
        save_checkpoint(tmp_path, model, meta={"epoch": 2})
    except KeyboardInterrupt:
        assert writes_before_crash < 3
    loaded = load_checkpoint(tmp_path)
    is_new = writes_before_crash >= 2
    assert loaded.meta == {"epoch": 2 if is_new else 1}
    bias = model.body.head.score.bias - (0 if is_new else 1)
    torch.testing.assert_close(loaded.model.body.head.score.bias, bias)


def test_unknown_backend_is_a_usage_error(saved):
    with pytest.raises(UsageError, match=r"backend \('tensorrt'\) must be one of torch, auto"):
        load_checkpoint(saved, backend="tensorrt")


KINDS = [
    ("array", lambda rgb: rgb),
    ("batch of arrays", lambda rgb: rgb[None]),
    ("list of arrays", lambda rgb: [rgb]),
    ("PIL", Image.fromarray),
    ("list of PIL", lambda rgb: [Image.fromarray(rgb)]),
    ("uint8 tensor", lambda rgb: torch.from_numpy(rgb.copy()).permute(2, 0, 1)),
    ("float tensor", lambda rgb: torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255),
]


@pytest.mark.parametrize(("kind", "convert"), KINDS, ids=[kind for kind, _ in KINDS])
def test_every_kind_of_frame_gives_the_same_score(assessor, pair, kind, convert):
    expected = assessor.predict(*pair)
    found = assessor.predict(*map(convert, pair))
    assert (found.shape, found.dtype) == ((1,), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_several_pairs_give_several_scores(assessor, pair):
    found = assessor.predict([pair[0], pair[1], pair[0]], np.stack([pair[1], pair[1], pair[0]]))
    assert found.shape == (3,)
    assert found[0] == pytest.approx(float(assessor.predict(*pair)[0]), abs=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3)),
        torch.zeros(64, 64),
        torch.zeros(1, 64, 64),
        [],
        torch.zeros((3, 64, 64), dtype=torch.int64),
    ],
    ids=str,
)
def test_other_things_are_refused(assessor, images):
    with pytest.raises(ValueError, match="must"):
        assessor.predict(images, images)


@pytest.mark.parametrize(
    ("width", "height", "rows"), [(1280, 720, 256), (640, 272, 256), (640, 272, 128), (99, 71, 64)]
)
def test_frames_are_brought_down_as_in_the_data_set(demo_clips, width, height, rows):
    clip = "bigbuckbunny.mp4" if width > 640 else "bikes.mp4"
    rgb = np.ascontiguousarray(real_frames(demo_clips / clip, (2,))[0][:height, :width])
    new_width, new_height = fit_height(width, height, target_height=rows)
    expected = resize_area(rgb, width=new_width, height=new_height)
    whole = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]
    for frames in (whole, whole / 255):
        found = (shrink_to_height(frames, rows) * 255).round().byte()[0].permute(1, 2, 0)
        assert np.array_equal(found.numpy(), expected)
    on_device = (average_areas(whole, width=new_width, height=new_height) * 255).round()[0].permute(1, 2, 0)
    assert np.abs(on_device.numpy() - expected).max() <= 1
    assert np.abs(on_device.numpy() - expected).mean() < 0.3


def test_frames_are_never_enlarged(assessor, pair):
    small = torch.from_numpy(pair[0].copy()).permute(2, 0, 1)[None]
    assert assessor.tier_height == 256
    assert torch.equal(shrink_to_height(small, 256), small / 255)
    assert torch.equal(shrink_to_height(small, None), small / 255)


def test_a_large_frame_is_assessed_at_the_models_height(assessor, demo_clips):
    img0, img1 = real_frames(demo_clips / "bigbuckbunny.mp4", (10, 14))
    small = [resize_area(rgb, width=456, height=256) for rgb in (img0, img1)]
    assert np.array_equal(assessor.predict(img0, img1), assessor.predict(*small))
    tensors = [torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] for rgb in (img0, img1)]
    assert assessor.assess(*tensors).score_map.shape == (1, 32, 57)

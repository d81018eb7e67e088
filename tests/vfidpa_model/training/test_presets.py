"""Presets: what the paper and AHIQ say is in them, each trains from its defaults, with the parameters reported."""

import numpy as np
import pytest
import torch

from tests.vfidpa_model.labelled_set import labelled_manifest
from vfidpa_model.networks.ahiq import AHIQ
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, crop_windows
from vfidpa_model.training.config import Machine
from vfidpa_model.training.config_file import resolve_config
from vfidpa_model.training.run import batches, take_step
from vfidpa_model.training.session import prepare


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, demo_clips):
    return labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips).path


def num_parameters(module):
    return sum(value.numel() for value in module.parameters())


def test_the_papers_model_has_about_60_percent_fewer_parameters_than_ahiq():
    with torch.device("meta"):  # shapes only
        paper, ahiq = VFIDPA(resolve_config(preset="paper", options={}).model), AHIQ(patch=8)
    assert 0.55 < 1 - num_parameters(paper) / num_parameters(ahiq) < 0.66


def test_the_papers_layers_are_ahiqs():
    with torch.device("meta"):
        body = VFIDPA(resolve_config(preset="paper", options={}).model).body
        ahiq = AHIQ(patch=8)
    names = [type(layer).__name__ for layer in body.head.smooth]
    assert names == ["Conv2d", "ReLU", "Conv2d", "Conv2d", "ReLU"]
    own = [*ahiq.regressor.feat_smoothing, *ahiq.regressor.conv1]
    assert [str(layer) for layer in body.head.smooth] == [str(layer) for layer in own]
    after = [str(layer).replace("stride=(2, 2)", "stride=(1, 1)") for layer in ahiq.deform_net.conv1]
    assert [str(layer) for layer in body.deform_net.after] == after
    assert not hasattr(body, "temporal")  # the 1x1 convolution is shared and comes before the subtraction


def test_subtraction_of_fused_features_is_plain():
    torch.manual_seed(0)
    small = ModelConfig(
        backbone="efficientnet_lite0", difference_of="fused", difference_form="signed", deform_form="ahiq"
    )
    body = VFIDPA(small).body.eval()
    seen = []
    body.head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    img0, img1 = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        body(img0, img1)
        body(img1, img0)
    width = small.fusion_width
    difference, first, second = seen[0].split(width, dim=1)
    torch.testing.assert_close(difference, first - second)
    torch.testing.assert_close(seen[1][:, :width], -difference, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", ["paper", "ahiq"])  # test_start.py has the defaults
def test_each_preset_starts_from_its_defaults_without_a_blow_up(preset, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("vfidpa_model.networks.backbones._torch_hub_state", lambda url: None)  # from scratch
    small = {"crop": 64, "pretrained": "none"}  # frames of 64 pixels; all else is the preset's
    config = resolve_config(preset=preset, options={**small, **({"ahiq_patch": 16} if preset == "ahiq" else {})})
    session = prepare(
        manifest,
        tmp_path / preset,
        model_config=config.model,
        config=config.train,
        machine=Machine("cpu"),
        resume=False,
    )
    levels = np.array([sample.level for sample in session.train])
    gaps = np.abs(levels - levels.mean())  # saying the mean level all the time costs this much
    guess = gaps.mean() if config.train.loss_norm == "l1" else (gaps**2).mean()
    own = None
    if config.train.crop_labels == "crop":  # a crop is told its own LPIPS; here each is its whole frame
        window = (slice(0, 64), slice(0, 64))
        own = [session.places.of_window(sample, window, frame=(64, 64)).inputs_lpips for sample in session.train]
        assert not np.isin(np.float32(own), np.float32([sample.inputs_lpips for sample in session.train])).any()
    assert (own is None) == (preset == "ahiq")
    losses = []
    for batch in batches(session):
        assert own is None or np.isin(batch["inputs_lpips"].numpy(), np.float32(own)).all()
        losses.append(take_step(session, batch)["difficulty"])
        session.counters.step += 1
        if len(losses) == 3:
            break
    assert np.isfinite(losses).all()
    assert max(losses) < 3 * guess
    assert np.mean(losses[-2:]) < 2 * guess


@pytest.mark.parametrize(("height", "width"), [(256, 455), (720, 1280), (256, 200)])
def test_five_crops_are_corners_and_centre(height, width):
    windows = crop_windows(height, width)
    assert len(windows) == 5
    seen = np.zeros((height, width), int)
    for rows, columns in windows:
        assert (rows.stop - rows.start, columns.stop - columns.start) == (224, min(224, width))
        seen[rows, columns] += 1
    assert all(seen[place] for place in [(0, 0), (0, -1), (-1, 0), (-1, -1), (height // 2, width // 2)])


def test_a_score_over_crops_is_their_mean_and_the_maps_lie_where_the_crops_do():
    torch.manual_seed(0)
    model = VFIDPA(ModelConfig(backbone="efficientnet_lite0", crops=5)).eval()
    img0, img1 = torch.rand(2, 2, 3, 256, 720)
    with torch.inference_mode():
        whole = model(img0, img1)
        apart = [model(img0[..., y, x], img1[..., y, x]) for y, x in crop_windows(256, 720)]
    torch.testing.assert_close(whole.score, torch.stack([part.score for part in apart]).mean(0))
    assert whole.score_map.shape == (2, 32, 90)
    torch.testing.assert_close(whole.score_map[:, :4, :28], apart[0].score_map[:, :4])
    assert (whole.weight_map[:, :, 28] == 0).all()  # between the left crops and the centre one
    torch.testing.assert_close(whole.score_map[:, :, 28], whole.score[:, None].expand(2, 32))

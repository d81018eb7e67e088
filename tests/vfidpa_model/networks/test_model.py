"""VFI-DPA: shapes, padding, maps, level scales and the config that names every choice."""

from dataclasses import replace

import pytest
import torch

from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.head import LinearScale, OrdinalScale, weighted_mean
from vfidpa_model.networks.vfidpa import VFIDPA, create_model
from vfidpa_model.training.config import TrainConfig

LIGHT = ModelConfig(backbone="efficientnet_lite0")


def frames(height: int, width: int, *, batch: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two random frames."""
    return tuple(torch.rand(2, batch, 3, height, width, generator=torch.Generator().manual_seed(seed)))


def model_of(config: ModelConfig = LIGHT) -> VFIDPA:
    """Return a seeded model whose deformable convolution bends."""
    torch.manual_seed(3)
    model = VFIDPA(config).eval()
    torch.nn.init.normal_(model.body.deform_net.conv_offset.weight, std=0.1)
    return model


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 97), (130, 70), (72, 128)])
def test_maps_cover_the_frame_and_the_score_is_their_weighted_mean(height, width):
    with torch.inference_mode():
        result = model_of()(*frames(height, width, batch=2))
    assert result.score.shape == (2,)
    assert result.level_logits is None
    assert result.score_map.shape == result.weight_map.shape == (2, -(-height // 8), -(-width // 8))
    assert ((result.weight_map > 0) & (result.weight_map < 1)).all()
    expected = (result.score_map * result.weight_map).sum((1, 2)) / result.weight_map.sum((1, 2))
    torch.testing.assert_close(result.score, expected)


def test_padding_is_left_out_of_the_weighted_mean():
    model = model_of()
    padded_raw, padded_weights = torch.zeros(1, 12, 12), torch.ones(1, 12, 12)
    padded_raw[:, 9:] = padded_raw[:, :, 9:] = 100  # beyond a frame of 72 pixels, 9 locations
    result = model.assess_with(lambda img0, img1: (padded_raw, padded_weights), *frames(72, 72))
    assert result.score.tolist() == [2.5]
    assert result.score_map.shape == (1, 9, 9)


def test_a_batch_gives_what_single_pairs_give():
    model = model_of()
    img0, img1 = frames(64, 96, batch=3)
    with torch.inference_mode():
        together = model(img0, img1).score
        apart = torch.cat([model(img0[i : i + 1], img1[i : i + 1]).score for i in range(3)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


CHOICES = [
    {"upsample": "nearest"},
    {"temporal_difference": False},
    {"difference_form": "signed"},
    {"head": "ordinal"},
    {"deep_width": 8, "shallow_width": 16, "fusion_width": 8, "head_widths": (8, 8, 4)},
]


@pytest.mark.parametrize("changes", CHOICES, ids=lambda changes: ",".join(changes))
def test_every_choice_runs_and_has_a_gradient_for_every_parameter(changes):
    model = model_of(replace(LIGHT, **{"deep_width": 0, "shallow_width": 0, **changes})).train()
    result = model(*frames(64, 64))
    loss = result.score.sum() + (0 if result.level_logits is None else result.level_logits.sum())
    loss.backward()
    without = [name for name, value in model.named_parameters() if value.grad is None]
    assert without == []


def test_swin_t_is_the_sources_model():
    model = VFIDPA().eval()
    with torch.inference_mode():
        result = model(*frames(64, 90))
    assert result.score_map.shape == (1, 8, 12)
    assert isinstance(model.body.deform_net.upsample, torch.nn.PixelShuffle)
    assert 27e6 < sum(value.numel() for value in model.parameters()) < 31e6


@pytest.mark.parametrize(
    ("shape0", "shape1", "message"),
    [
        ((1, 3, 64, 64), (1, 3, 64, 65), "must be"),
        ((1, 1, 64, 64), (1, 1, 64, 64), "must be"),
        ((3, 64, 64), (3, 64, 64), "must be"),
        ((1, 3, 63, 64), (1, 3, 63, 64), r"frame size \(64x63\) must be at least 64"),
    ],
)
def test_wrong_frames_are_refused(shape0, shape1, message):
    with pytest.raises(ValueError, match=message):
        model_of()(torch.zeros(shape0), torch.zeros(shape1))


@pytest.mark.parametrize(("scale", "low", "high"), [(LinearScale, -torch.inf, torch.inf), (OrdinalScale, 1, 4)])
def test_levels_rise_with_the_output_and_stay_in_range(scale, low, high):
    levels = scale()(torch.linspace(-6, 6, 200)).detach()
    assert (levels.diff() > 0).all()
    assert low < levels.min()
    assert levels.max() < high
    assert levels[99:101].mean().item() == pytest.approx(2.5, abs=1e-3)  # an untrained model says: the middle


def test_ordinal_probabilities_are_a_distribution_whose_mean_is_the_score():
    scale = OrdinalScale()
    with torch.no_grad():
        scale.steps.copy_(torch.tensor([-3.0, 2.0]))
    latent = torch.tensor([-30.0, -2.0, 0.0, 1.5, 30.0], requires_grad=True)
    logs = scale.log_probabilities(latent)
    assert torch.isfinite(logs).all()
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(5))
    torch.testing.assert_close((logs.exp() * torch.arange(1, 5)).sum(1), scale(latent))
    logs.sum().backward()
    assert torch.isfinite(latent.grad).all()


def test_weighted_mean_of_nothing_is_finite():
    assert weighted_mean(torch.ones(1, 2, 2), torch.zeros(1, 2, 2)).tolist() == [0.0]


def test_pretrained_record_travels_in_the_config():
    assert create_model(LIGHT).config.pretrained == "asset efficientnet-lite0"
    assert create_model(LIGHT, pretrained=False).config.pretrained == "none"


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (ModelConfig(), 256),
        (ModelConfig(tier="720p"), 720),
        (ModelConfig(tier="720p", input_height=256), 256),
        (ModelConfig(tier="all"), None),
    ],
)
def test_config_survives_json_and_knows_its_height(config, rows):
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert config.rows == rows
    assert config.head_widths == (256, 128, 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "resnt18"}, r"backbone \('resnt18'\) must be one of swin_t"),
        ({"tier": "480p"}, "tier"),
        ({"ahiq_patch": 7}, "ahiq_patch"),
        ({"deep_width": 10**9}, "width"),
        ({"head_widths": [64, 64]}, "three"),
        ({"head_widths": ["a", 1, 2]}, "width"),
        ({"num_levels": 5}, r"num_levels \(5\) must be 4: the choice was removed"),
        ({"input_height": 12}, "input_height"),
        ({"temporal_difference": "yes"}, "must be a bool"),
        ({"fusion_width": 4.0}, "must be a int"),
        ({"loss_norm": "l1"}, "unknown field"),
        ({"flow": True}, "unknown field 'flow'"),
    ],
)
def test_wrong_config_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": float("nan")}, r"lr \(nan\) must be a number from 0"),
        ({"lr": -1.0}, "lr"),
        ({"aux_weight": float("inf")}, "aux_weight"),
        ({"crop": 63}, r"crop \(63\) must be 0 \(whole frames\) or at least 64"),
        ({"epochs": 0}, "epochs"),
        ({"resolution": "480p"}, r"resolution \('480p'\) must be one of 256p, 720p, 1080p, all"),
        ({"labels": "mine"}, "labels"),
        ({"precision": "int8"}, r"precision \('int8'\) must be one of fp32, bf16, fp16"),
    ],
)
def test_wrong_training_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**values)

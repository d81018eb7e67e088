"""RIFE of ECCV 2022 against the official modules' numbers: the paper's model, any time, and the large one."""

import pytest
import torch

from dataset_tools.errors import WeightsError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.rife_eccv import IFNet, IFNet2R, IFNetM
from tests.golden_weights import TOLERANCE, fill_with_golden_weights, golden, golden_inputs

MODELS = {"ifnet": IFNet, "ifnet_m": IFNetM, "ifnet_2r": IFNet2R}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    arrays, meta = golden(f"rife_eccv2022_{request.param}")
    model = MODELS[request.param](flip_average=False)
    fill_with_golden_weights(model, multipliers=meta["multipliers"])
    return model, arrays


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def test_flows_mask_and_frames_equal_the_official_ones(case):
    model, arrays = case
    img0, img1 = golden_inputs("64x96")
    with torch.inference_mode():
        found = model.estimate(img0, img1)
        close(found.flows[0], arrays["flow0"])
        close(found.flows[2], arrays["flow2"])
        close(torch.sigmoid(found.mask_logit), arrays["mask2"])
        close(model(img0, img1), arrays["merged2"])
        close(model(img0, img1, scales=(8, 4, 2)), arrays["merged2_scale8_4_2"])
        if model.name == "rife-m":
            close(model(img0, img1, 0.25), arrays["merged2_t0.25"])


def test_interpolate_gives_the_same_and_averages_with_the_turned_result(case):
    model, arrays = case
    close(model.interpolate(*golden_inputs("64x96")), arrays["merged2"])
    model.flip_average = True
    close(model.interpolate(*golden_inputs("64x96")), arrays["tta"])
    model.flip_average = False


def test_only_rife_m_interpolates_at_any_time():
    frame = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="rife-m takes any"):
        IFNet().interpolate(frame, frame, 0.25)


def test_scale_changes_the_padding_and_must_be_a_power_of_two():
    frame = torch.rand(1, 3, 65, 40)
    assert IFNet(scale=0.25).interpolate(frame, frame).shape == frame.shape
    with pytest.raises(ValueError, match=r"scale \(0\.3\) must be one of 0\.25, 0\.5"):
        IFNet(scale=0.3)


def test_checkpoints_load_with_their_prefix_and_the_wrong_variant_is_named(tmp_path):
    model = IFNet()
    file = tmp_path / "flownet.pkl"
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, file)
    loaded = create_interpolator("rife-eccv", weights=file)
    assert len(loaded.weights_sha256) == 64
    frames = torch.rand(2, 1, 3, 40, 50)
    close(loaded.interpolate(*frames), model.eval().interpolate(*frames))
    for name in ("rife-m", "upr-net", "vfiformer-small"):
        with pytest.raises(WeightsError, match="it is a file for interpolator rife-eccv or rife-large"):
            create_interpolator(name, weights=file)

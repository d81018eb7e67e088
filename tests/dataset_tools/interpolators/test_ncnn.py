"""RIFE in ncnn: the frames of PyTorch within 0.05 of 255, chosen where asked for, and said in the name."""

import copy
import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import create_interpolator, ncnn_engine
from dataset_tools.interpolators.backend import apply_backend
from dataset_tools.interpolators.ncnn_graph import describe
from dataset_tools.interpolators.rife import RIFE
from dataset_tools.interpolators.rife_eccv import IFNet, IFNet2R, IFNetM
from dataset_tools.interpolators.tiles import Rect, TilePlan
from dataset_tools.interpolators.upr_net import UPRNet
from tests.golden_weights import fill_with_golden_weights, golden, golden_inputs

ALLOWED = 0.05 / 255
CPU = torch.device("cpu")
needs_ncnn = pytest.mark.skipif(not ncnn_engine.is_installed(), reason="the extra ncnn is not installed")

MODELS = {
    "rife": lambda: create_interpolator("rife"),
    "rife-refined": lambda: create_interpolator("rife-refined"),
    "rife-full": lambda: create_interpolator("rife-full"),
    "rife-full at scale 0.5": lambda: create_interpolator("rife-full", scale=0.5),
    "rife-v4": lambda: create_interpolator("rife-v4"),
    "rife-eccv": lambda: filled(IFNet()),
    "rife-m": lambda: filled(IFNetM()),
    "rife-large": lambda: filled(IFNet2R()),
}


def filled(model, **multipliers):
    fill_with_golden_weights(model, multipliers=multipliers)
    return model


def in_ncnn(model):
    other = copy.deepcopy(model)
    apply_backend(other, "ncnn", device=CPU)
    return other


def same(actual, expected):
    assert actual.shape == expected.shape
    difference = (actual - expected).abs()
    assert difference.max() <= ALLOWED
    assert difference.mean() <= ALLOWED / 10


def resized(frames, size):
    return [nn.functional.interpolate(frame, size, mode="bilinear") for frame in frames]


@pytest.fixture(scope="module", params=MODELS)
def engines(request):
    model = MODELS[request.param]()
    return model, in_ncnn(model)


@needs_ncnn
@pytest.mark.parametrize("size", [(64, 128), (101, 67), (33, 200)])
def test_frames_are_those_of_pytorch(engines, size):
    model, other = engines
    frames = resized(golden_inputs("128x128"), size)
    same(other.interpolate(*frames), model.interpolate(*frames))


@needs_ncnn
@pytest.mark.parametrize("name", ["rife", "rife-v4"])
def test_frames_of_a_stored_size(name):
    frames = resized(golden_inputs("128x128"), (256, 456))
    same(create_interpolator(name, backend="ncnn").interpolate(*frames), create_interpolator(name).interpolate(*frames))


@needs_ncnn
def test_batches_and_threads(engines):
    model, other = engines
    img0, img1 = (torch.cat((frame, frame.flip(3))) for frame in golden_inputs("64x96"))
    expected = model.interpolate(img0, img1)
    same(other.interpolate(img0, img1), expected)
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        calls = [pool.submit(other.interpolate, img0[i : i + 1], img1[i : i + 1]) for i in (0, 1)]
        singles = [call.result() for call in calls]
    same(torch.cat(singles), expected)
    again = other.interpolate(img0[:1], img1[:1])
    assert torch.equal(again, singles[0])  # the same call gives the same bits, from whichever thread


def num_os_threads():
    return len(list(Path("/proc/self/task").iterdir()))


@needs_ncnn
def test_no_more_threads_than_asked_for():
    model = create_interpolator("rife-v4", backend="ncnn")
    frames = [torch.cat([frame] * 3) for frame in golden_inputs("64x96")]
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:  # two stages of one core each
        both = threading.Barrier(2)
        list(pool.map(lambda _: both.wait(10), range(2)))
        before = num_os_threads()
        list(pool.map(lambda _: (both.wait(10), model.interpolate(*frames)), range(2)))
        assert num_os_threads() == before  # engines start none of their own
    parts = [part.convolutions for part in model.modules() if "convolutions" in vars(part)]
    assert {count for part in parts for count in part._nets} == {1}


@needs_ncnn
@pytest.mark.parametrize("ensemble", [False, True])
def test_the_branch_for_large_motion_is_taken_too(ensemble):
    multipliers = golden("rife_hdv3_seeded")[1]["dyn_multipliers"]
    model = filled(RIFE(ensemble=ensemble), **multipliers)
    other = in_ncnn(model)
    scales = []
    other.block1.register_forward_hook(lambda _, arguments, __: scales.append(arguments[2]))
    img0, img1 = golden_inputs("64x128")
    with torch.inference_mode():
        same(other(img0, img1), model(img0, img1))
    assert 8.0 in scales  # block 1 works at a quarter, and at an eighth where the motion is large


@needs_ncnn
def test_gains_of_a_residual_convolution_are_taken_into_its_weights():
    block = filled(create_interpolator("rife-v4").block4)
    with torch.no_grad():
        for part in block.convblock:
            part.beta.copy_(torch.linspace(-1.5, 2, 32).view(1, -1, 1, 1))
    x = torch.rand(1, 28, 36, 52, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        expected = block(x)
        ncnn_engine.use_ncnn(block)
        torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def convolutions(self, x):
        return self.norm(x)


def test_what_no_layer_is_known_for_is_named():
    with pytest.raises(NotImplementedError, match=r"no ncnn layer is known for .*norm"):
        describe(Norms())


@needs_ncnn
@pytest.mark.parametrize(
    ("backend", "name"), [("torch", "rife-3.9"), ("ncnn", "rife-3.9+ncnn"), ("auto", "rife-3.9+ncnn")]
)
def test_the_name_says_which_engine(backend, name):
    assert create_interpolator("rife", backend=backend).name == name


@needs_ncnn
def test_a_model_goes_on_from_the_fast_one_of_its_own_engine(tmp_path):
    torch.save(IFNet().state_dict(), tmp_path / "flownet.pkl")
    for backend in ("torch", "ncnn"):
        fast, refined = (create_interpolator(name, backend=backend) for name in ("rife", "rife-refined"))
        assert refined.goes_on_from == fast.name
        fast, refined = (
            create_interpolator(name, backend=backend, weights=tmp_path / "flownet.pkl")
            for name in ("rife-eccv-fast", "rife-eccv")
        )
        assert refined.goes_on_from == fast.name


@needs_ncnn
def test_refinement_on_tiles_is_that_of_pytorch():
    model = create_interpolator("rife-refined")
    other = in_ncnn(model)
    frames = resized(golden_inputs("128x128"), (128, 256))
    plan = TilePlan((128, 256), (Rect(0, 0, 64, 64), Rect(64, 128, 128, 256)))
    same(other.go_on(other.begin(*frames), [plan]), model.go_on(model.begin(*frames), [plan]))


def test_auto_stays_with_pytorch_where_ncnn_cannot(monkeypatch):
    for model, device in ((UPRNet(), CPU), (RIFE(precision="bf16"), CPU), (RIFE(), torch.device("cuda"))):
        name = model.name
        apply_backend(model, "auto", device=device)
        assert model.name == name
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert create_interpolator("rife", backend="auto").name == "rife-3.9"


def test_impossible_wishes_are_said(monkeypatch):
    for model, device, says in (
        (UPRNet(), CPU, "upr-net has no parts that ncnn runs; use --backend torch"),
        (RIFE(), torch.device("cuda"), "ncnn takes its frames from the CPU, not from cuda"),
        (RIFE(precision="fp16"), CPU, "ncnn computes in fp32, not in fp16"),
    ):
        with pytest.raises(UsageError, match=says):
            apply_backend(model, "ncnn", device=device)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'not installed \(pip install "vfi-difficulty\[ncnn\]"\)'):
        create_interpolator("rife", backend="ncnn")
    with pytest.raises(UsageError, match="--backend 'onnx' must be one of auto, torch, ncnn, vulkan or vulkan:N"):
        create_interpolator("rife", backend="onnx")


@needs_ncnn
def test_a_graphics_card_gives_the_same_and_a_missing_one_is_said():
    num_cards = ncnn_engine.num_cards()
    for name in ["vulkan:99"] if num_cards else ["vulkan:99", "vulkan", "vulkan:0"]:
        number = name.partition(":")[2] or "0"
        with pytest.raises(UsageError, match=rf"there is no Vulkan device {number}, {num_cards} found"):
            create_interpolator("rife", backend=name)
    if not num_cards:  # Mesa's lavapipe is one in software
        return
    model = create_interpolator("rife", backend="vulkan")
    assert model.name == "rife-3.9+vulkan"
    frames = golden_inputs("128x128")
    same(model.interpolate(*frames), create_interpolator("rife").interpolate(*frames))

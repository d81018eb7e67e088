"""VFI-DPA light in ncnn beside OpenVINO and PyTorch: ``python benchmarks/light_in_ncnn.py --rounds 20``.

ncnn's own converter ``pnnx`` (a package that nothing else here needs) writes two graphs, for ncnn knows no batches: the
features of one frame, and what compares two. The deformable convolution is torchvision's, which ncnn has a layer for.
One real pair at 256p, in turns, two threads, medians; the maps must equal PyTorch's.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assessment_speed import demo_pair, resized
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from dataset_tools.common.memory import keep_freed_memory
from vfidpa_model.export import export_model
from vfidpa_model.inference.assessor import as_batch, load_checkpoint
from vfidpa_model.inference.checkpoint import read_checkpoint, save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, create_model

WIDTH, HEIGHT, STRIDE = 480, 256, 8  # 16:9 at 256 rows, padded to multiples of 32
NUM_THREADS = 2
HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


class Features(nn.Module):
    """What the model sees in one frame."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        shallow, deep = self.body.deform_net(*self.body.backbone(image))
        both = torch.cat((deep, shallow), 1)
        return both, self.body.spatial(both)


class Comparison(nn.Module):
    """What it makes of the features of two."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, both0: Tensor, both1: Tensor, spatial0: Tensor, spatial1: Tensor) -> tuple[Tensor, Tensor]:
        change = self.body.temporal((both0 - both1).abs())
        x = self.body.head.smooth(torch.cat((change, spatial0, spatial1), 1))
        return self.body.head.score(x), torch.sigmoid(self.body.head.attention(x))


def write_graphs(model: VFIDPA, folder: Path) -> None:
    """Write features.ncnn.* and comparison.ncnn.* into ``folder``."""
    import pnnx

    body: Any = copy.deepcopy(model.body)
    own = body.deform_net.deform
    native = DeformConv2d(own.weight.shape[1], own.weight.shape[0], 3, padding=1)
    native.weight, native.bias = own.weight, own.bias
    body.deform_net.deform = native
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    features, comparison = Features(body).eval(), Comparison(body).eval()
    with torch.no_grad():
        both, spatial = features(image)
        pnnx.export(features, str(folder / "features.pt"), image, fp16=False)
        pnnx.export(comparison, str(folder / "comparison.pt"), (both, both, spatial, spatial), fp16=False)


def load(folder: Path, name: str, num_threads: int) -> Any:
    """Return a graph, ready to run in single precision."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = num_threads
    for half in HALVES:
        setattr(net.opt, half, False)
    if net.load_param(str(folder / f"{name}.ncnn.param")) or net.load_model(str(folder / f"{name}.ncnn.bin")):
        raise SystemExit(f"ncnn cannot read {name}")
    return net


def run(net: Any, *inputs: Any) -> list[Any]:
    """Return both results of a graph, as ncnn's own arrays."""
    import ncnn

    extractor = net.create_extractor()
    for number, value in enumerate(inputs):
        extractor.input(f"in{number}", ncnn.Mat(value) if isinstance(value, np.ndarray) else value)
    return [extractor.extract(name)[1] for name in ("out0", "out1")]


def bodies(folder: Path, pool: ThreadPoolExecutor) -> dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """Return ncnn's stand-ins for the model's body: both frames at once, a thread each, or one after the other."""
    single, wide = load(folder, "features", 1), load(folder, "features", NUM_THREADS)
    comparison = load(folder, "comparison", NUM_THREADS)

    def body(img0: Tensor, img1: Tensor, *, at_once: bool) -> tuple[Tensor, Tensor]:
        frames = [np.ascontiguousarray(image[0].numpy()) for image in (img0, img1)]
        found = list(pool.map(lambda x: run(single, x), frames)) if at_once else [run(wide, x) for x in frames]
        maps = run(comparison, found[0][0], found[1][0], found[0][1], found[1][1])
        shape = (1, HEIGHT // STRIDE, WIDTH // STRIDE)
        raw, weights = (torch.from_numpy(np.array(values)).view(shape) for values in maps)
        return raw, weights

    return {
        "ncnn, both frames at once": lambda a, b: body(a, b, at_once=True),
        "ncnn, one frame after the other": lambda a, b: body(a, b, at_once=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    torch.set_num_threads(NUM_THREADS)
    pair = demo_pair()
    img0, img1 = resized(pair, WIDTH, HEIGHT)
    with (
        tempfile.TemporaryDirectory() as name,
        torch.inference_mode(),
        ThreadPoolExecutor(NUM_THREADS) as pool,
    ):
        folder = Path(name)
        with torch.inference_mode(False):
            model = create_model(ModelConfig(backbone="efficientnet_lite0"), pretrained=True).eval()
            write_graphs(model, folder)
            save_checkpoint(folder / "light", model, meta={})
            frames = [(as_batch(pair[0]), as_batch(pair[1]))]
            export_model(model, read_checkpoint(folder / "light"), format="openvino", pairs=frames)
        openvino = load_checkpoint(folder / "light", backend="openvino")
        variants: dict[str, Callable[[], Any]] = {"PyTorch": lambda: model(img0, img1)}
        variants["OpenVINO"] = lambda: openvino.assess(img0, img1)
        for title, body in bodies(folder, pool).items():
            variants[title] = lambda body=body: model.assess_with(body, img0, img1)
            for found, wanted in zip(body(img0, img1), model.body(img0, img1), strict=True):
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
        times: dict[str, list[float]] = {title: [] for title in variants}
        for turn in range(rounds + 2):
            for title, function in variants.items():
                started = time.perf_counter()
                function()
                if turn > 1:  # the first two warm up
                    times[title].append((time.perf_counter() - started) * 1000)
    print("| VFI-DPA light, 256p | median, ms | lowest, ms |\n| --- | --- | --- |")
    for title, values in times.items():
        print(f"| {title} | {statistics.median(values):.1f} | {min(values):.1f} |")


if __name__ == "__main__":
    main()

"""What an assessment costs beside what it may save: ``python benchmarks/assessment_speed.py``.

AHIQ, VFI-DPA (Swin-T and light, in PyTorch and exported) and RIFE on one real frame pair, in one process, in turns, two
threads, medians. Weights of Swin-T and AHIQ are random: time does not depend on them. The rows "from 720p" are what the
dynamic pipeline pays per 720p pair, bringing the frames down included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import Rgb
from dataset_tools.interpolators import create_interpolator
from dataset_tools.video import open_video
from vfidpa_model.export import export_model
from vfidpa_model.inference.assessor import Assessor, as_batch, load_checkpoint
from vfidpa_model.inference.checkpoint import read_checkpoint, save_checkpoint
from vfidpa_model.networks.ahiq import AHIQ
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import create_model

TIERS = {"256p": (456, 256), "720p": (1280, 720), "1080p": (1920, 1080)}


@dataclass
class Row:
    """One line of the table."""

    name: str
    size: str
    run: Callable[[], object]
    module: torch.nn.Module | None = None
    gmacs: float = 0.0
    times: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        """Median of the times."""
        return statistics.median(self.times)


def demo_pair() -> tuple[Rgb, Rgb]:
    """Return two 720p frames of the demo clip, four apart."""
    with open_video(fetch_demo_clips() / "bigbuckbunny.mp4") as reader:
        frames = [frame.rgb() for frame in reader.frames() if frame.index in (60, 64)]
    return frames[0], frames[1]


def resized(pair: tuple[Rgb, Rgb], width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pair as tensors of a size; 1080p is enlarged, which changes no time."""
    images = (Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC) for rgb in pair)
    first, second = (as_batch(np.asarray(image)).float() / 255 for image in images)
    return first, second


def assessors(folder: Path, pair: tuple[Rgb, Rgb], backends: list[str]) -> list[tuple[str, Assessor]]:
    """Return VFI-DPA with both backbones and every backend; the exports are made in ``folder``."""
    made = []
    for title, backbone in (("VFI-DPA Swin-T", "swin_t"), ("VFI-DPA light", "efficientnet_lite0")):
        config = ModelConfig(backbone=backbone)
        model = create_model(config, pretrained=config.is_light).eval()
        save_checkpoint(folder / backbone, model, meta={})
        for backend in backends:
            if backend != "torch":
                frames = [(as_batch(pair[0]), as_batch(pair[1]))]
                export_model(model, read_checkpoint(folder / backbone), format=backend, pairs=frames)
            made.append((f"{title}, {backend}", load_checkpoint(folder / backbone, backend=backend)))
    return made


def table_rows(folder: Path, pair: tuple[Rgb, Rgb], *, backends: list[str], shrink: int) -> list[Row]:
    """Return everything that is measured."""
    sizes = {tier: (width // shrink, height // shrink) for tier, (width, height) in TIERS.items()}
    frames = {tier: resized(pair, *size) for tier, size in sizes.items()}
    crop = tuple(image[..., :224, :224] for image in resized(pair, *TIERS["720p"]))
    rows = []
    for title, whole in (("AHIQ B/8, as published", True), ("AHIQ B/8, unused layers dropped", False)):
        ahiq = AHIQ(patch=8, whole_backbones=whole).eval()
        rows.append(Row(title, "224x224 crop", lambda run=ahiq.predict: run(*crop), ahiq))
        width, height = (-(-side // 16) * 16 for side in sizes["256p"])
        padded = resized(pair, width, height)
        rows.append(Row(title, f"256p ({width}x{height})", lambda run=ahiq.predict, at=padded: run(*at), ahiq))
    whole_frames = as_batch(pair[0]), as_batch(pair[1])
    for title, assessor in assessors(folder, pair, backends):
        in_torch = assessor.model if assessor.backend == "torch" else None
        rows.append(Row(title, "224x224 crop", lambda run=assessor.assess: run(*crop), in_torch))
        rows.append(Row(title, "256p", lambda run=assessor.assess: run(*frames["256p"]), in_torch))
        rows.append(Row(title, "from 720p", lambda run=assessor.assess: run(*whole_frames), in_torch))
    rife = create_interpolator("rife")
    for tier, images in frames.items():
        rows.append(Row("RIFE 3.9", tier, lambda at=images: rife.interpolate(*at), rife))
    return rows


def measure(rows: list[Row], *, rounds: int) -> None:
    """Warm up and count, then time all rows in turns."""
    with torch.inference_mode():
        for row in rows:
            with FlopCounterMode(display=False) as counter:
                row.run()
            row.gmacs = counter.get_total_flops() / 2e9
        for _ in range(rounds):
            for row in rows:
                started = time.perf_counter()
                row.run()
                row.times.append((time.perf_counter() - started) * 1000)


def print_table(rows: list[Row]) -> None:
    """Print the Markdown table, then the ratios that the project aims at."""
    base = next(row for row in rows if (row.name, row.size) == ("RIFE 3.9", "720p")).milliseconds
    print("| | input | parameters, M | GMAC | ms a pair | of RIFE at 720p |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        parameters = gmacs = ""
        if row.module is not None:
            parameters = f"{sum(value.numel() for value in row.module.parameters()) / 1e6:.1f}"
            gmacs = f"{row.gmacs:.1f}"
        share = row.milliseconds / base
        print(f"| {row.name} | {row.size} | {parameters} | {gmacs} | {row.milliseconds:.1f} | {share:.1%} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", nargs="+", default=["torch", "onnx", "openvino"])
    parser.add_argument("--shrink", type=int, default=1, help="divide all frame sizes by this, for a quick look")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # Masked windows of a random Swin-T give denormal numbers, which would take twice the time.
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as scratch:
        rows = table_rows(Path(scratch), demo_pair(), backends=arguments.backends, shrink=arguments.shrink)
        measure(rows, rounds=arguments.rounds)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, torch {torch.__version__}\n")
    print_table(rows)


if __name__ == "__main__":
    main()

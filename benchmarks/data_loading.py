"""How much of a training step is waiting for data: ``python benchmarks/data_loading.py``.

Loads frames of a demo clip at 256p exactly as training does (PNG, crop, augmentation) and takes real optimizer steps
of both backbones on them, in this process. Prints medians: one step, loading its batch without and with the cache of
decoded frames, and what a step still waits with one loading process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.common.files import sha256_file
from dataset_tools.frames import fit_height, pixels_sha256, write_image
from dataset_tools.frames.area import resize_area
from dataset_tools.video import open_video
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import create_model
from vfidpa_model.pairs.loading import FrameReader, TrainingPairs, batches_from, make_loader, to_device
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.training.losses import compute_losses

HEIGHT = 256


def store_pairs(folder: Path, *, num_pairs: int) -> list[Sample]:
    """Return pairs of neighbouring frames of a 720p clip, stored as PNG files at 256p."""
    clip = fetch_demo_clips() / "bigbuckbunny.mp4"
    samples, previous = [], None
    with open_video(clip) as video:
        width, height = fit_height(video.info.width, video.info.height, target_height=HEIGHT)
        for frame in video.frames():
            rgb = resize_area(frame.rgb(), width=width, height=height)
            path = folder / f"{frame.index}.png"
            write_image(path, rgb)
            stored = (path, pixels_sha256(rgb))
            if previous is not None:
                samples.append(sample_of(previous, stored, size=(width, height), clip=sha256_file(clip)))
            if len(samples) == num_pairs:
                break
            previous = stored
    return samples


def sample_of(img0: tuple[Path, str], img1: tuple[Path, str], *, size: tuple[int, int], clip: str) -> Sample:
    """Return a labelled pair; the level does not matter for time."""
    return Sample(
        triplet_id=img0[0].stem,
        clip=clip,
        split="train",
        resolution="256p",
        width=size[0],
        height=size[1],
        img0=str(img0[0]),
        img1=str(img1[0]),
        img0_sha256=img0[1],
        img1_sha256=img1[1],
        level=2.0,
        distribution=(0.0, 1.0, 0.0, 0.0),
        votes={},
        inputs_lpips=0.1,
        motion=1.0,
    )


def time_loading(pairs: TrainingPairs, *, batch: int, num_steps: int) -> float:
    """Return the median seconds that reading one batch takes in this process."""
    loader = iter(make_loader(pairs, keys(pairs, batch=batch, num_steps=num_steps), workers=0))
    return statistics.median(timed(lambda: next(loader)) for _ in range(num_steps))


def time_steps(backbone: str, pairs: TrainingPairs, *, batch: int, num_steps: int, workers: int) -> tuple[float, float]:
    """Return the median seconds of waiting for a batch, and of the optimizer step after it."""
    model = create_model(ModelConfig(backbone=backbone)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loader = iter(make_loader(pairs, keys(pairs, batch=batch, num_steps=num_steps + 1), workers=workers))
    waits, steps = [], []
    for number in range(num_steps + 1):
        started = time.perf_counter()
        loaded = to_device(next(loader), torch.device("cpu"))
        between = time.perf_counter()
        losses = compute_losses(
            model(loaded["img0"], loaded["img1"]),
            level=loaded["level"],
            distribution=loaded["distribution"],
            lpips_level=loaded["inputs_lpips"],
            aux_weight=0.1,
        )
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        if number > 0:  # the first one starts processes and allocates
            waits.append(between - started)
            steps.append(time.perf_counter() - between)
    return statistics.median(waits), statistics.median(steps)


def keys(pairs: TrainingPairs, *, batch: int, num_steps: int) -> Iterator[list[tuple[int, int]]]:
    """Return the batches of training."""
    return batches_from(0, num_steps=num_steps, num_samples=len(pairs), batch=batch, seed=0)


def timed(work) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="steps that are measured per row")
    parser.add_argument("--batch", type=int, default=8, help="pairs per step")
    parser.add_argument("--crop", type=int, default=224, help="side of the crop, pixels")
    parser.add_argument("--threads", type=int, default=2, help="threads of a step")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = store_pairs(folder, num_pairs=4 * options.batch)
        readers = {"PNG": FrameReader(HEIGHT), "cache": FrameReader(HEIGHT, folder / "cache")}
        sets = {
            kind: TrainingPairs(samples, reader=reader, crop=options.crop, seed=0) for kind, reader in readers.items()
        }
        work = {"batch": options.batch, "num_steps": options.steps}
        time_loading(sets["cache"], **work)  # fills it
        loads = {kind: time_loading(pairs, **work) for kind, pairs in sets.items()}
        print("| backbone | step, ms | from PNG, ms (share) | from the cache, ms (share) | waiting, 1 worker (share) |")
        print("| --- | --- | --- | --- | --- |")
        for backbone in ("efficientnet_lite0", "swin_t"):
            _, step = time_steps(backbone, sets["PNG"], workers=0, **work)
            waits, _ = time_steps(backbone, sets["PNG"], workers=1, **work)
            shares = (
                f"{1e3 * load:.1f} ({load / (load + step):.1%})" for load in (loads["PNG"], loads["cache"], waits)
            )
            print(f"| {backbone} | {1e3 * step:.0f} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()

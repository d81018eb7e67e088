"""A small data set of real frames, with and without predictions, for the tests of everything that reads one."""

import shutil
from pathlib import Path

import av
import pytest

from dataset_tools.frames import pixels_sha256, write_image
from dataset_tools.manifest import Manifest, from_rows, read_manifest

WIDTH, HEIGHT = 144, 256  # a strip of full height: real motion, little to compute
TRIPLETS = {"bikes.mp4": [(0, 1), (20, 4)], "bigbuckbunny.mp4": [(3, 2), (40, 8), (70, 1)]}  # first, interval


@pytest.fixture(scope="session")
def _unpredicted(demo_clips, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("unpredicted")
    rows = [row for clip in TRIPLETS for row in _clip_rows(root, demo_clips / clip)]
    from_rows(root / "data_manifest.parquet", rows, metadata={"seed": "7", "extraction": "{}"}).write()
    return root


@pytest.fixture(scope="session")
def _predicted(_unpredicted, tmp_path_factory) -> Path:
    from dataset_tools.predict import predict_manifest

    root = tmp_path_factory.mktemp("predicted") / "set"
    shutil.copytree(_unpredicted, root)
    predict_manifest(read_manifest(root / "data_manifest.parquet"), device="cpu")
    return root


@pytest.fixture
def unpredicted(_unpredicted, tmp_path) -> Manifest:
    """Five triplets of two clips at 256p, in a folder of the test's own, without predictions."""
    shutil.copytree(_unpredicted, tmp_path / "set")
    return read_manifest(tmp_path / "set" / "data_manifest.parquet")


@pytest.fixture
def predicted(_predicted, tmp_path) -> Manifest:
    """The same with RIFE's predictions and all metrics."""
    shutil.copytree(_predicted, tmp_path / "predicted")
    return read_manifest(tmp_path / "predicted" / "data_manifest.parquet")


def _clip_rows(root: Path, clip: Path) -> list[dict]:
    triplets = [(first, first + step, first + 2 * step) for first, step in TRIPLETS[clip.name]]
    with av.open(str(clip)) as container:
        frames = []
        for _, frame in zip(range(1 + max(map(max, triplets))), container.decode(video=0), strict=False):
            frames.append(frame.to_ndarray(format="rgb24"))
    return [_row(root, clip, frames, indices) for indices in triplets]


def _row(root: Path, clip: Path, frames: list, indices: tuple[int, int, int]) -> dict:
    native_height, native_width = frames[0].shape[:2]
    left, top = (native_width - WIDTH) // 2, (native_height - HEIGHT) // 2
    row = {
        "triplet_id": f"videos/{clip.name}/{'-'.join(map(str, indices))}@256p",
        "source": "videos",
        "clip": clip.name,
        "clip_sha256": "0" * 64,
        "resolution": "256p",
        "width": WIDTH,
        "height": HEIGHT,
        "native_width": native_width,
        "native_height": native_height,
        "interval": indices[1] - indices[0],
        "split": "train" if clip.name == "bikes.mp4" else "val",
    }
    for column, index in zip(("img0", "gt", "img1"), indices, strict=True):
        image = frames[index][top : top + HEIGHT, left : left + WIDTH].copy()
        row[column] = f"frames/videos/{clip.name}/256p/{index:06d}.png"
        row |= {f"{column}_index": index, f"{column}_pts": index / 25, f"{column}_sha256": pixels_sha256(image)}
        write_image(root / row[column], image)
    return row

"""A small data set of real frames, made from the demo clips."""

from pathlib import Path

import av

from dataset_tools.common.files import sha256_file
from dataset_tools.frames import fingerprint, pixels_sha256, write_image
from dataset_tools.manifest import from_rows

WIDTH, HEIGHT = 144, 256  # a strip of full height: real motion, little to compute
TRIPLETS = {"bikes.mp4": [(0, 1), (20, 4)], "bigbuckbunny.mp4": [(3, 2), (40, 8), (70, 1)]}  # first, interval


def build_small_data_set(root: Path, clips: Path) -> None:
    """Write the frames of five triplets at 256p and their manifest, without predictions."""
    rows = [row for clip in TRIPLETS for row in _clip_rows(root, clips / clip)]
    from_rows(root / "data_manifest.parquet", rows, metadata={"seed": "7", "extraction": "{}"}).write()


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
        "clip_sha256": sha256_file(clip),
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
        row |= {f"{column}_index": index, f"{column}_pts": index / 25}
        row |= {f"{column}_sha256": pixels_sha256(image), f"{column}_fingerprint": fingerprint(image)}
        write_image(root / row[column], image)
    return row

"""Benchmark sets as lists of triplets: SNU-FILM, Xiph, Vimeo90K, UCF101, Middlebury, and any manifest.

Each set is found in the layout its authors published. A triplet that lacks a file is listed all the same: whoever
reads it finds out, and says so.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dataset_tools.columns.file import open_manifest
from dataset_tools.common.files import inside
from dataset_tools.common.remote import File
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.frames import Rgb, read_image

if TYPE_CHECKING:
    pass

_SNU_LEVELS = ("easy", "medium", "hard", "extreme")
_SNU_PREFIX = "data/SNU-FILM/"  # in the published lists
_XIPH_FRAME = re.compile(r"(?:(?P<flat>.+)-)?(?P<number>\d{3})\.png")
_XIPH_SIZE = (4096, 2160)  # width and height of the clips
_XIPH_WIDTH, _XIPH_HEIGHT = 2048, 1080  # of both Xiph-2K (resized) and Xiph-4K (cropped)


class BenchmarkSetError(VfiError):
    """A benchmark set is missing, incomplete, or laid out in an unknown way."""


@dataclass(frozen=True)
class Item:
    """One triplet of a set.

    Attributes:
        subset: Column of the table, e.g. ``"hard"``.
        sequence: Clip it comes from; intervals are made by sequence.
        name: Unique in its subset.
        shape: What is done to the frames first: ``""``, ``"resize"`` or ``"crop"`` (Xiph-2K and Xiph-4K).
    """

    subset: str
    sequence: str
    name: str
    img0: File
    gt: File
    img1: File
    shape: str = ""

    @property
    def files(self) -> tuple[File, File, File]:
        """The files of img0, gt and img1."""
        return self.img0, self.gt, self.img1

    @property
    def key(self) -> str:
        """Identity of the triplet in its set."""
        return f"{self.subset}/{self.name}"


def read_item(item: Item) -> tuple[Rgb, Rgb, Rgb]:
    """Return img0, gt and img1 as 8-bit RGB.

    Raises:
        FrameError: A file cannot be read.
        BenchmarkSetError: The three frames differ in size, or have not the set's.
    """
    img0, gt, img1 = (_shaped(read_image(path), item.shape) for path in item.files)
    if not img0.shape == gt.shape == img1.shape:
        raise BenchmarkSetError(f"triplet {item.key} has frames of different sizes")
    return img0, gt, img1


def load_set(name: str, root: Path) -> list[Item]:
    """Return the triplets of the set ``name`` under ``root`` (for ``manifest``: the Parquet file, or its folder).

    Raises:
        BenchmarkSetError: The set is unknown, or not one of its triplets is whole.
    """
    if name not in SETS:
        raise BenchmarkSetError(f"benchmark set {name!r} must be one of {', '.join(SETS)}")
    items = SETS[name](root)
    if not items:
        raise BenchmarkSetError(f"{root} holds no triplets of {name}; docs/benchmarks.md shows its layout")
    if not any(_is_whole(item) for item in items):
        gone = next(path for path in items[0].files if not path.exists())
        raise BenchmarkSetError(f"{name}: all {len(items)} triplets lack files; the first is {gone}")
    return items


def _is_whole(item: Item) -> bool:
    return all(path.exists() for path in item.files)


def _snu_film(root: Path) -> list[Item]:
    items = []
    for level in _SNU_LEVELS:
        lists = [folder / f"test-{level}.txt" for folder in (root / "eval_modes", root)]
        for line in _lines(lists):
            paths = line.split()
            if len(paths) != 3:
                raise BenchmarkSetError(f"SNU-FILM list test-{level}.txt: line {line!r} must hold three paths")
            img0, gt, img1 = (_snu_frame(root, path) for path in paths)
            items.append(Item(level, gt.parent.name, "/".join(gt.parts[-3:]), img0, gt, img1))
    return items


def _snu_frame(root: Path, listed: str) -> Path:
    """Return where a listed frame lies: the whole path under the root, without its prefix, or its last three parts."""
    layouts = (listed, listed.removeprefix(_SNU_PREFIX), "/".join(listed.split("/")[-3:]))
    candidates = [inside(root, path) for path in layouts]
    return next((path for path in candidates if path.exists()), candidates[0])


def _vimeo90k(root: Path) -> list[Item]:
    folder = root / "sequences" if (root / "sequences").is_dir() else root / "target"
    items = []
    for line in _lines([root / "tri_testlist.txt"]):
        clip = inside(folder, line)
        items.append(Item("test", line, line, clip / "im1.png", clip / "im2.png", clip / "im3.png"))
    return items


def _ucf101(root: Path) -> list[Item]:
    inner = root / "ucf101_interp_ours"
    folders = sorted(path for path in (inner if inner.is_dir() else root).iterdir() if path.is_dir())
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    return [
        Item("test", folder.name, folder.name, folder / names[0], folder / names[1], folder / names[2])
        for folder in folders
        if any((folder / name).exists() for name in names)
    ]


def _middlebury(root: Path) -> list[Item]:
    truths, inputs = root / "other-gt-interp", root / "other-data"
    names = {path.name for folder in (truths, inputs) for path in folder.glob("*") if path.is_dir()}
    items = []
    for name in sorted(names):
        img0, img1 = (inputs / name / file for file in ("frame10.png", "frame11.png"))
        items.append(Item("other", name, name, img0, truths / name / "frame10i11.png", img1))
    return items


def _xiph(root: Path, *, subset: str, shape: str) -> list[Item]:
    """Return the 49 triplets of each clip that has one of them whole."""
    names: dict[str, str] = {}  # clip -> the path of its frame 000, up to the number
    for path in sorted([*root.glob("*.png"), *root.glob("*/*.png")]):
        match = _XIPH_FRAME.fullmatch(path.name)
        if match:
            names[match["flat"] or path.parent.name] = str(path)[: -len("000.png")]
    items = []
    for clip, name in sorted(names.items()):
        found = []
        for middle in range(2, 99, 2):
            img0, gt, img1 = (Path(f"{name}{middle + step:03d}.png") for step in (-1, 0, 1))
            found.append(Item(subset, clip, f"{clip}-{middle:03d}", img0, gt, img1, shape))
        items += found if any(map(_is_whole, found)) else []
    return items


def manifest_items(path: Path, *, split: str | None = None, resolution: str | None = None) -> list[Item]:
    """Return the triplets of a manifest (the Parquet file, or its folder), all or those of a split or resolution."""
    manifest = open_manifest(path)
    items = []
    names = ("triplet_id", "source", "clip", "split", "resolution", "img0", "gt", "img1")
    for row in (row for piece in manifest.batches(names) for row in piece.to_pylist()):
        if (split and row["split"] != split) or (resolution and row["resolution"] != resolution):
            continue
        img0, gt, img1 = (inside(manifest.frames, row[column] or "") for column in ("img0", "gt", "img1"))
        clip = f"{row['source']}/{row['clip']}"
        items.append(Item(row["resolution"] or "all", clip, row["triplet_id"], img0, gt, img1))
    return items


def frames_sha256(path: Path) -> str:
    """Return the SHA-256 of which frames a manifest (the file, or its folder) names; other columns do not count."""
    columns = ("triplet_id", "img0_sha256", "gt_sha256", "img1_sha256")
    listed = [list(row.values()) for piece in open_manifest(path).batches(columns) for row in piece.to_pylist()]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _lines(candidates: list[Path]) -> list[str]:
    """Return the lines of the first list that exists, without the empty one that some end with."""
    for path in candidates:
        if path.exists():
            return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    raise BenchmarkSetError(f"list {candidates[0]} does not exist")


def _shaped(rgb: Rgb, shape: str) -> Rgb:
    if not shape:
        return rgb
    height, width = rgb.shape[:2]
    if (width, height) != _XIPH_SIZE:
        raise BenchmarkSetError(f"Xiph frames must be {_XIPH_SIZE[0]}x{_XIPH_SIZE[1]}, not {width}x{height}")
    if shape == "resize":
        # OpenCV's area filter, as in the benchmark's own script; the toolkit's filter would differ by a level.
        return np.asarray(cv2.resize(rgb, (_XIPH_WIDTH, _XIPH_HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    top, left = (height - _XIPH_HEIGHT) // 2, (width - _XIPH_WIDTH) // 2
    return rgb[top : top + _XIPH_HEIGHT, left : left + _XIPH_WIDTH]


SETS: dict[str, Callable[[Path], list[Item]]] = {
    "snu-film": _snu_film,
    "xiph-2k": lambda root: _xiph(root, subset="2K", shape="resize"),
    "xiph-4k": lambda root: _xiph(root, subset="4K", shape="crop"),
    "vimeo90k": _vimeo90k,
    "ucf101": _ucf101,
    "middlebury": _middlebury,
    "manifest": manifest_items,
}


def parse_weights(given: Sequence[str], *, models: Sequence[str]) -> dict[str, Path]:
    """Return ``NAME=FILE`` options as a dictionary.

    Raises:
        UsageError: One has another form, or is for none of ``models``.
    """
    files = {}
    for text in given:
        name, separator, file = text.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"--weights {text!r} must be NAME=FILE, e.g. upr-net=upr-base.pkl")
        if name not in models:
            raise UsageError(f"--weights {text!r} must be for one of the models here: {', '.join(models)}")
        files[name] = Path(file)
    return files

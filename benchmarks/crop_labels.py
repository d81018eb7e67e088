"""How often a training crop's proxy level is the one it is trained with: the frame's, or the one from LPIPS by place.

    python -m dataset_tools.extract --source videos:CLIPS --out WORK --resolutions 256p,720p --count 60
    python benchmarks/crop_labels.py WORK/data_manifest.parquet

One random crop per pair and size; what is right is LPIPS of the crop itself. The same for the auxiliary target.
"""

import argparse
from pathlib import Path

import numpy as np

from dataset_tools.common.markdown import to_table
from dataset_tools.frames import read_image
from dataset_tools.manifest import read_manifest
from dataset_tools.prediction.metrics import Lpips
from dataset_tools.prediction.proxy_levels import proxy_level
from vfidpa_model.pairs.augment import draw_crop
from vfidpa_model.pairs.places import CELL, window_mean

CROPS = (224, 448)


def main() -> None:
    """Print a table: agreement of the level, and mean error of the inputs' LPIPS, before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--limit", type=int, default=60, help="pairs per tier")
    options = parser.parse_args()
    manifest = read_manifest(options.manifest)
    lpips, rng, lines = Lpips(), np.random.default_rng(0), []
    rows = [row for row in manifest.rows() if row["pred"]]
    for tier in dict.fromkeys(row["resolution"] for row in rows):
        chosen = [row for row in rows if row["resolution"] == tier][: options.limit]
        found = {crop: [] for crop in CROPS if crop < min(row["height"] for row in chosen)}
        for row in chosen:
            img0, gt, img1, pred = (read_image(manifest.root / row[name]) for name in ("img0", "gt", "img1", "pred"))
            by_place = {name: lpips.by_place(*pair, cell=CELL) for name, pair in _pairs(img0, gt, img1, pred).items()}
            whole = {name: lpips(*pair) for name, pair in _pairs(img0, gt, img1, pred).items()}
            for crop, values in found.items():
                y, x = window = draw_crop(rng, height=gt.shape[0], width=gt.shape[1], crop=crop)
                cut = _pairs(*(frame[y, x] for frame in (img0, gt, img1, pred)))
                exact = {name: lpips(*pair) for name, pair in cut.items()}
                placed = {name: window_mean(by_place[name], window, frame=gt.shape[:2]) for name in exact}
                values.append(_compare(exact, whole) + _compare(exact, placed))
        for crop, values in found.items():
            before, lpips_before, after, lpips_after = np.mean(values, axis=0)
            lines.append(
                [tier, crop, len(values), f"{before:.0%}", f"{after:.0%}", f"{lpips_before:.3f}", f"{lpips_after:.3f}"]
            )
    head = ["tier", "crop", "pairs", "level of the frame is right", "level by place is right"]
    print(to_table([*head, "inputs' LPIPS, error with the frame's", "by place"], lines))


def _pairs(img0: np.ndarray, gt: np.ndarray, img1: np.ndarray, pred: np.ndarray) -> dict[str, tuple]:
    return {"prediction": (pred, gt), "inputs": (img0, img1)}


def _compare(exact: dict[str, float], given: dict[str, float]) -> tuple[float, float]:
    is_same = proxy_level(exact["prediction"]) == proxy_level(given["prediction"])
    return float(is_same), abs(exact["inputs"] - given["inputs"])


if __name__ == "__main__":
    main()

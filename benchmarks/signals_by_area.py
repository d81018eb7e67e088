"""Judge what may choose tiles by area alone: no margins, no times, those are in ``dynamic_curve.py``.

    python benchmarks/train_shipped.py --library LIBRARY --work SET --only-set
    python benchmarks/signals_by_area.py SET --clips LIBRARY/clips.tsv

Measures, for some triplets of each clip of the split test, what ``rife-refined`` changes in each 16 pixels: squared
error and LPIPS. Prints the share of the error, of LPIPS and of the decibels that is kept when the best tiles of all
these triplets together are refined, and how far each signal is ahead of the plain difference, with 95 % intervals over
film groups. What is measured stays in --work: the same command goes on.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from model_choice import film_groups
from routing_signals import COMPARED

from dataset_tools.frames import read_image, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import TILE
from dataset_tools.manifest import DEFAULT_NAME, read_manifest
from dataset_tools.prediction.metrics import Lpips
from vfidpa_model.routing.quality_cost import draw_groups

PER_CLIP = 5
CELL, SIDE = 16, 64  # pixels a side: what is measured, and what is chosen
SHARES = (0.1, 0.2, 0.3, 0.4)
LONGEST = 4  # frames to the middle one: what is judged, since videos are made smoother at steps of 1


def measure(row, root, model, lpips, signals):
    """Return, per 16 pixels, error and LPIPS of the fast frame and of the refined one; and signals per tile."""
    img0, truth, img1 = (to_tensor(read_image(root / row[name])) for name in ("img0", "gt", "img1"))
    with torch.inference_mode():
        begun = model.begin(img0, img1)
        both = torch.cat((begun.frame, model.go_on(begun)))
        truths = truth.expand_as(both)
        seen = lpips((both * 255).round() / 255, truths, normalize=True)
        return {
            "errors": cells((both - truths).square().mean(1, keepdim=True)).double().numpy(),
            "lpips": cells(seen).numpy(),
            "size": np.array(truth.shape[-2:]),
            **{signal.name: large_tiles(signal.tiles(img0, img1, begun)[0]) for signal in signals},
        }


def large_tiles(scores):
    """Return the means over tiles of ``SIDE`` pixels; 0 counts outside of the frame."""
    step = SIDE // TILE
    rows, columns = (-(-length // step) for length in scores.shape)
    padded = np.pad(scores, ((0, rows * step - scores.shape[0]), (0, columns * step - scores.shape[1])))
    return padded.reshape(rows, step, columns, step).mean((1, 3))


def cells(x):
    """Return the mean of each 16 pixels, (B, rows, columns); 0 counts outside of the frame."""
    height, width = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, -width % SIDE, 0, -height % SIDE)), CELL)[:, 0]


def make(root, work, signals):
    """Return a list of (clip, interval, measured), measuring what is not there yet."""
    rows = defaultdict(list)
    for row in read_manifest(root / DEFAULT_NAME).rows():
        if row["split"] == "test":
            rows[row["clip"]].append(row)
    model, lpips = create_interpolator("rife-refined", backend="torch"), Lpips()._network
    lpips.spatial = True
    found = []
    work.mkdir(parents=True, exist_ok=True)
    for clip, members in sorted(rows.items()):
        chosen = np.sort(np.random.default_rng(1).permutation(len(members))[:PER_CLIP])
        for number, index in enumerate(chosen):
            path = work / f"{clip}-{number}.npz"
            if not path.exists():
                np.savez(work / "new.npz", **measure(members[index], root, model, lpips, signals))
                (work / "new.npz").rename(path)
            with np.load(path) as stored:
                found.append((clip, members[index]["interval"], dict(stored)))
        print(f"\r{clip}          ", end="", file=sys.stderr, flush=True)
    return found


class Judged:
    """What refining each tile of a triplet is worth, and what share of the frame it is."""

    def __init__(self, clip, measured):
        self.clip, self.measured = clip, measured
        height, width = measured["size"].tolist()
        errors, lpips = (
            F.avg_pool2d(torch.from_numpy(measured[name])[:, None].double(), SIDE // CELL)[:, 0].numpy()
            * (SIDE * SIDE / (height * width))
            for name in ("errors", "lpips")
        )
        self.gains, self.lpips_gains, self.error = errors[0] - errors[1], lpips[0] - lpips[1], errors[0].sum()
        lengths = zip((height, width), errors[0].shape, strict=True)
        sides = (np.minimum(SIDE, length - SIDE * np.arange(count)) for length, count in lengths)
        self.area = np.outer(*sides) / (height * width)

    def kept(self, mask):
        """Return error removed, LPIPS removed and decibels won by the chosen tiles."""
        gone = (self.gains * mask).sum()
        return [gone, (self.lpips_gains * mask).sum(), 10 * np.log10(self.error / max(self.error - gone, 1e-9))]


def chosen(judged, scores, share):
    """Return a mask per triplet: the best tiles of all of them, up to a share of the area."""
    flat, area = (np.concatenate([x.ravel() for x in parts]) for parts in (scores, [one.area for one in judged]))
    order = np.argsort(-flat)
    mask = np.zeros(len(flat), bool)
    mask[order[: int(np.searchsorted(np.cumsum(area[order]), share * area.sum())) + 1]] = True
    ends = np.cumsum([score.size for score in scores])[:-1]
    return [part.reshape(score.shape) for part, score in zip(np.split(mask, ends), scores, strict=True)]


def judge(judged, scores, groups):
    """Return Markdown lines: shares kept per signal, and the mean of the three against the plain difference."""
    draws = draw_groups(groups, generator=np.random.default_rng(0), resamples=2000)
    everything = np.array([one.kept(np.ones_like(one.area)) for one in judged])
    shares = {
        name: {
            share: np.array([one.kept(mask) for one, mask in zip(judged, chosen(judged, found, share), strict=True)])
            for share in SHARES
        }
        for name, found in scores.items()
    }
    head = " | ".join(f"{share:.0%} of the area: error / LPIPS / dB" for share in SHARES)
    lines = [f"| signal | {head} | above the first at 30 %: error / LPIPS / dB / mean |"]
    lines.append("| --- |" + " --- |" * (len(SHARES) + 1))
    plain = next(iter(shares))
    for name, by_share in shares.items():
        cells_ = [" / ".join(f"{100 * x:.0f}" for x in by_share[s].sum(0) / everything.sum(0)) for s in SHARES]
        difference = by_share[0.3] - shares[plain][0.3]
        once, drawn = difference.sum(0) / everything.sum(0), (draws @ difference) / (draws @ everything)
        low, high = np.quantile(np.column_stack((drawn, drawn.mean(1))), [0.025, 0.975], axis=0) * 100
        spans = zip([*once, once.mean()], low, high, strict=True)
        ahead = " / ".join(f"{100 * value:+.0f} [{a:+.0f}, {b:+.0f}]" for value, a, b in spans)
        lines.append(f"| {name} | {' | '.join(cells_)} | {ahead} |")
    return lines


def main():
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="folder that train_shipped.py made")
    parser.add_argument("--clips", type=Path, required=True, help="table (TSV) of the clips, with film groups")
    parser.add_argument("--work", type=Path, default=Path("runs/by-area"), help="folder for measurements")
    parser.add_argument("--longest", type=int, default=LONGEST, help="longest step that is judged, in frames")
    options = parser.parse_args()
    torch.set_num_threads(1)
    films = film_groups(options.clips)
    found = make(options.set, options.work, COMPARED)
    tested = [(clip, measured) for clip, interval, measured in found if interval <= options.longest]
    judged = [Judged(*one) for one in tested]
    groups = [films.get(clip, clip) for clip, _ in tested]
    scores = {signal.name: [one.measured[signal.name] for one in judged] for signal in COMPARED}
    rng = np.random.default_rng(0)
    scores["random"] = [rng.random(one.area.shape) for one in judged]
    scores["oracle of the error"] = [one.gains for one in judged]
    scores["oracle of LPIPS"] = [one.lpips_gains for one in judged]
    print(f"{len(judged)} triplets of {len({clip for clip, _ in tested})} clips, {len(set(groups))} film groups")
    print("\n".join(judge(judged, scores, groups)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

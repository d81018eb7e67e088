"""Make the network of ``ExpectedGain``, and judge what may choose tiles.

    python benchmarks/train_gain.py SET --clips LIBRARY/clips.tsv

SET is the folder that ``train_shipped.py`` made of a library of clips (its ``--work``).

1. Measures, for some triplets of each clip, what ``rife-refined`` changes in each 16 pixels: squared error and LPIPS.
2. Trains on the clips of the splits train and val, whose licences allow it; four minutes on one core.
3. Judges on the clips of the split test, which share no film group with them: the share of the error, of LPIPS and of
   the decibels that is kept when the best tiles of all these triplets together are refined, and how far each signal
   is ahead of the plain difference, with 95 % intervals over film groups.

What is measured stays in --work: the same command goes on.
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
from safetensors.torch import save_file
from torch import nn

from dataset_tools.frames import read_image, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import TILE
from dataset_tools.manifest import DEFAULT_NAME, read_manifest
from dataset_tools.prediction.metrics import Lpips
from vfidpa_model.routing.learned import LPIPS_UNIT, NETWORK_TILE, LpipsGain, features_of
from vfidpa_model.routing.quality_cost import draw_groups
from vfidpa_model.routing.signals import DecidedDifference

PER_CLIP = {"train": 16, "val": 12, "test": 5}
CELL = 16
SHARES = (0.1, 0.2, 0.3, 0.4)
LONGEST = 4  # frames to the middle one: what is judged, since videos are made smoother at steps of 1


def measure(row, root, model, lpips, signals):
    """Return, per 16 pixels, error and LPIPS of the fast frame and of the refined one; features and signals."""
    img0, truth, img1 = (to_tensor(read_image(root / row[name])) for name in ("img0", "gt", "img1"))
    with torch.inference_mode():
        begun = model.begin(img0, img1)
        both = torch.cat((begun.frame, model.go_on(begun)))
        truths = truth.expand_as(both)
        seen = lpips((both * 255).round() / 255, truths, normalize=True)
        height, width = truth.shape[-2:]
        return {
            "features": features_of(begun)[0].half().numpy(),
            "errors": cells((both - truths).square().mean(1, keepdim=True)).double().numpy(),
            "lpips": cells(seen).numpy(),
            "size": np.array([height, width]),
            **{signal.name: large_tiles(signal.tiles(img0, img1, begun)[0]) for signal in signals},
        }


def large_tiles(scores):
    """Return the means over tiles of ``NETWORK_TILE``; 0 counts outside of the frame."""
    step = NETWORK_TILE // TILE
    rows, columns = (-(-length // step) for length in scores.shape)
    padded = np.pad(scores, ((0, rows * step - scores.shape[0]), (0, columns * step - scores.shape[1])))
    return padded.reshape(rows, step, columns, step).mean((1, 3))


def cells(x):
    """Return the mean of each 16 pixels, (B, rows, columns); 0 counts outside of the frame."""
    height, width = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, -width % NETWORK_TILE, 0, -height % NETWORK_TILE)), CELL)[:, 0]


def make(root, work, signals):
    """Return split -> list of (clip, interval, measured), measuring what is not there yet."""
    rows = defaultdict(list)
    for row in read_manifest(root / DEFAULT_NAME).rows():
        rows[row["split"], row["clip"]].append(row)
    model, lpips = create_interpolator("rife-refined", backend="torch"), Lpips()._network
    lpips.spatial = True
    found = defaultdict(list)
    work.mkdir(parents=True, exist_ok=True)
    for (split, clip), members in sorted(rows.items()):
        chosen = np.sort(np.random.default_rng(1).permutation(len(members))[: PER_CLIP[split]])
        for number, index in enumerate(chosen):
            path = work / f"{clip}-{number}.npz"
            if not path.exists():
                np.savez(work / "new.npz", **measure(members[index], root, model, lpips, signals))
                (work / "new.npz").rename(path)
            with np.load(path) as stored:
                found[split].append((clip, members[index]["interval"], dict(stored)))
        print(f"\r{split}, {clip}          ", end="", file=sys.stderr, flush=True)
    return found


def examples(measured):
    """Return (features, gain in LPIPS per 16 pixels), both (1, C, h, w)."""
    gains = (measured["lpips"][0] - measured["lpips"][1]) / LPIPS_UNIT
    return torch.from_numpy(measured["features"]).float()[None], torch.from_numpy(gains)[None, None]


def turned(features, gains, rng):
    """Return both on a shifted grid of tiles, mirrored or played backwards at random."""
    whole, step = NETWORK_TILE // CELL, CELL // 4
    top, left = (int(value) for value in rng.integers(0, whole, 2))
    rows, columns = ((side - start) // whole * whole for side, start in zip(gains.shape[2:], (top, left), strict=True))
    gains = gains[..., top : top + rows, left : left + columns]
    features = features[..., step * top : step * (top + rows), step * left : step * (left + columns)]
    for axis in (2, 3):
        if rng.random() < 0.5:
            features, gains = features.flip(axis), gains.flip(axis)
    if rng.random() < 0.5:
        features = features.clone()
        features[:, 8] = -features[:, 8]  # the mask, minus a half
        features[:, [10, 11]] = features[:, [11, 10]]  # how far the flows go
    return features, gains


def train(items, *, epochs, seed, batch=4, lr=2e-3):
    """Return the network, a running mean over the last steps."""
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), LpipsGain()
    for layer in (network.last, network.skip):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=1e-2)
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98))
    steps, step = epochs * -(-len(items) // batch), 0
    for epoch in range(epochs):
        order, total = rng.permutation(len(items)), 0.0
        for start in range(0, len(order), batch):
            optimizer.param_groups[0]["lr"] = lr * min(1, step / 50) * (1 + np.cos(np.pi * step / steps)) / 2
            members, loss = order[start : start + batch], torch.zeros(())
            for index in members:
                features, gains = turned(*examples(items[index][2]), rng)
                wanted = F.avg_pool2d(gains, NETWORK_TILE // CELL)[:, 0]
                loss = loss + F.huber_loss(network(features), wanted, delta=3.0) / len(members)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            mean.update_parameters(network)
            step, total = step + 1, total + float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total:.1f}", flush=True)
    return mean.module.eval()


class Judged:
    """What refining each tile of a triplet is worth, and what share of the frame it is."""

    def __init__(self, clip, measured):
        self.clip, self.measured = clip, measured
        height, width = measured["size"].tolist()
        errors, lpips = (
            F.avg_pool2d(torch.from_numpy(measured[name])[:, None].double(), NETWORK_TILE // CELL)[:, 0].numpy()
            * (NETWORK_TILE * NETWORK_TILE / (height * width))
            for name in ("errors", "lpips")
        )
        self.gains, self.lpips_gains, self.error = errors[0] - errors[1], lpips[0] - lpips[1], errors[0].sum()
        lengths = zip((height, width), errors[0].shape, strict=True)
        sides = (np.minimum(NETWORK_TILE, length - NETWORK_TILE * np.arange(count)) for length, count in lengths)
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
    """Measure, train, judge; write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="folder that train_shipped.py made")
    parser.add_argument("--clips", type=Path, required=True, help="table (TSV) of the clips, with film groups")
    parser.add_argument("--work", type=Path, default=Path("runs/gain"), help="folder for measurements and weights")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, default=LONGEST, help="longest step that is judged, in frames")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = make(options.set, options.work / "measured", COMPARED)
    learned = found["train"] + found["val"]
    network = train(learned, epochs=options.epochs, seed=options.seed)
    path = options.work / "model.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)
    network = network.half().float()  # as it is stored
    base = DecidedDifference().name
    weight = 1 / np.mean([measured[base].mean() for _, _, measured in learned])
    films = film_groups(options.clips)
    tested = [(clip, measured) for clip, interval, measured in found["test"] if interval <= options.longest]
    judged = [Judged(*one) for one in tested]
    groups = [films.get(clip, clip) for clip, _ in tested]
    scores = {signal.name: [one.measured[signal.name] for one in judged] for signal in COMPARED}
    with torch.inference_mode():
        gains = [network(examples(one.measured)[0])[0].double().numpy() for one in judged]
    for part in (0.1, 0.2, 0.4, 0.8):
        scores[f"expected gain, LPIPS {part:g}"] = [
            weight * one.measured[base] + part * gain for one, gain in zip(judged, gains, strict=True)
        ]
    scores["expected gain of LPIPS alone"] = gains
    rng = np.random.default_rng(0)
    scores["random"] = [rng.random(one.area.shape) for one in judged]
    scores["oracle of the error"] = [one.gains for one in judged]
    scores["oracle of LPIPS"] = [one.lpips_gains for one in judged]
    print(f"weight of the difference: {weight:.2f}; {len(learned)} triplets learned from")
    print(f"{len(judged)} triplets of {len({clip for clip, _ in tested})} clips, {len(set(groups))} film groups")
    print("\n".join(judge(judged, scores, groups)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

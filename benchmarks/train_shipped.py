"""Make the model that comes with the toolkit: ``python benchmarks/train_shipped.py --library FOLDER --work FOLDER``

1. Chooses the clips of a library (``clips.tsv`` beside them): camera and animation under a permissive licence, without
   the near-static ones, those with repeated frames, and the films of the demo set; split by film group.
2. Extracts triplets at 256p, predicts them with RIFE, gives proxy levels, and measures what ``rife-refined`` adds.
3. Trains the light model's fusion and head on features of the frozen ImageNet backbone, which are computed once for
   four mirrorings of each pair: a hundredth of the work of training everything, for what twenty clips can teach.
4. Writes the checkpoint in half precision, and evaluates it on clips it never saw.

Every step is kept: run the same command again to go on. Tests and users never need this; it takes about an hour.
"""

import argparse
import csv
import hashlib
import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools import extract, predict
from dataset_tools.manifest import Manifest, from_rows, read_manifest
from dataset_tools.prediction.proxy_levels import with_proxy_levels
from vfidpa_model.evaluation.measures import measure_all
from vfidpa_model.evaluation.run import evaluate, write_evaluation
from vfidpa_model.inference.checkpoint import save_checkpoint
from vfidpa_model.inference.score_scale import fit_score_scale
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, Assessment, create_model
from vfidpa_model.pairs.gains import gain_samples
from vfidpa_model.pairs.labels import select_samples
from vfidpa_model.pairs.loading import FrameReader, location_levels, targets_of
from vfidpa_model.pairs.pairs_hash import pairs_sha256
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.training.losses import compute_losses, fit_lpips_scale
from vfidpa_model.training.schedule import learning_rate
from vfidpa_model.training.session import running_mean, start_at

ROWS = 128  # rows the model sees: a quarter of 256's cost
PER_CLIP = (56, 44, 10)  # of the splits train, val, test
MIRRORS = ((), (3,), (2,), (2, 3))  # axes of (B, 3, H, W)
_PERMISSIVE = re.compile(r"MIT|Apache-2\.0|BSD-[23]-Clause|CC0|Unlicense")
# Near-static, repeated frames, time stamps out of order: see the library's own notes.
_UNFIT = {"rocketgame", "towergame", "claycourt", "hardcourt", "redcourt", "clock", "apron", "aquarium", "greeting"}
_UNFIT |= {"soldiers", "elevator", "trial", "airportheroes", "towncentre", "camden", "smurf"}
_DEMO = {"bbb", "bikes"}  # films of the demo set, on which users try models
_MOST_REPEATED = 9  # per cent of frames
_NUM_VAL_GROUPS = 6
_MANY_CLIPS = "davis_set"  # too large a group for validation


def choose_clips(table: Path) -> dict[str, str]:
    """Return file name -> ``train``, ``val`` or ``test`` of a library's clips; a film group is in one of them only."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    groups = {row["name"]: _name(row) if row["film_group"] == "-" else row["film_group"] for row in rows}
    fit = [row for row in rows if _is_fit(row) and groups[row["name"]] not in _DEMO]
    known = sorted({groups[row["name"]] for row in fit}, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    val = set([group for group in known if group != _MANY_CLIPS][:_NUM_VAL_GROUPS])
    chosen = {row["name"]: "val" if groups[row["name"]] in val else "train" for row in fit}
    for row in rows:
        if groups[row["name"]] not in known and _name(row) not in _UNFIT:
            chosen[row["name"]] = "test"
    return chosen


def _name(row: dict[str, str]) -> str:
    return row["name"].split("_")[0]


def _is_fit(row: dict[str, str]) -> bool:
    repeated = re.search(r"repeated frames (\d+)%", row["notes"])
    return (
        row["kind"] in ("camera", "animation")
        and _PERMISSIVE.fullmatch(row["licence"]) is not None
        and _name(row) not in _UNFIT
        and (repeated is None or int(repeated[1]) <= _MOST_REPEATED)
    )


def make_set(library: Path, work: Path, *, per_clip: dict[str, int]) -> Manifest:
    """Return the manifest with proxy levels, made where it is not there yet."""
    path = work / "data_manifest.parquet"
    rows = []
    for split, number in per_clip.items():
        clips = [name for name, chosen in choose_clips(library / "clips.tsv").items() if chosen == split]
        for name in clips:
            link = work / "clips" / split / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(library / name)
        count = ["--count", str(-(-number * len(clips) // 10) * 10), "--per-clip", str(number), "--split", "1,0,0"]
        source = ["--source", f"videos:{work / 'clips' / split}", "--resolutions", "256p", "--seed", "10"]
        _run(extract.main, [*source, "--out", str(work / split), *count])
        for row in read_manifest(work / split / path.name).rows():
            files = {name: f"{split}/{row[name]}" for name in ("img0", "gt", "img1", "pred")}
            rows.append({**row, **files, "split": split})
    if not path.exists():
        with_proxy_levels(from_rows(path, rows, metadata={"seed": "10"})).write()
    return read_manifest(path)


def _run(main, argv: list[str]) -> None:
    if (code := main(argv)) != 0:
        sys.exit(code)


@dataclass
class Item:
    """A pair with the features of its frames: per mirroring (2, C, h, w), half precision."""

    sample: Sample
    frame: tuple[int, int]
    shallow: Tensor
    deep: Tensor
    levels: Tensor | None

    def part(self, mirror: int) -> dict[str, Tensor]:
        """Return the features of one mirroring and the targets that go with it."""
        found = {"shallow": self.shallow[mirror].float(), "deep": self.deep[mirror].float(), **targets_of(self.sample)}
        if self.levels is not None:
            found["location_levels"] = self.levels.flip([axis - 2 for axis in MIRRORS[mirror]])
        return found


def features_of(model: VFIDPA, sample: Sample, folder: Path) -> Item:
    """Return a pair's features, computed once and kept in ``folder``."""
    path = folder / (sample.triplet_id.replace("/", "_") + ".pt")
    width, height = FrameReader(ROWS).size_of(sample)
    if not path.exists():
        pair = np.stack(FrameReader(ROWS).pair(sample))
        frames = torch.from_numpy(pair).permute(0, 3, 1, 2).float() / 255
        mirrors = MIRRORS if sample.split == "train" else MIRRORS[:1]
        batch = torch.cat([frames.flip(axes) for axes in mirrors])
        batch = F.pad(batch, (0, -width % 32, 0, -height % 32), mode="replicate")
        with torch.inference_mode():
            shallow, deep = model.body.backbone(batch)
        torch.save({"s": shallow.half().unflatten(0, (-1, 2)), "d": deep.half().unflatten(0, (-1, 2))}, path)
    stored = torch.load(path, weights_only=True)
    levels = None
    if sample.cell_levels:
        window = (slice(0, height), slice(0, width))
        found = location_levels(sample, frame=(height, width), window=window, sides=(height, width))
        levels = torch.from_numpy(found)
    return Item(sample, (height, width), stored["s"], stored["d"], levels)


class Cached(nn.Module):
    """Stands in for the backbone: gives the features it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.features: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at hand; the images are not looked at."""
        return self.features


class ContentDropout(nn.Module):
    """Hides a frame's own features from the head in half of the pairs: with few clips it would learn their looks."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Return the inner module's features, in training zero for every second pair; x is (2 B, C, h, w)."""
        kept = torch.rand(len(x) // 2, 1, 1, 1).ge(0.5).float() if self.training else torch.ones(len(x) // 2, 1, 1, 1)
        return self.inner(x) * torch.cat((kept, kept))


def assess(model: VFIDPA, items: list[Item], parts: list[dict[str, Tensor]]) -> Assessment:
    """Return the assessment of pairs of one size from their features."""
    shallow, deep = (torch.stack([part[name] for part in parts], 1).flatten(0, 1) for name in ("shallow", "deep"))
    model.body.backbone.features = (shallow, deep)
    nothing = torch.zeros(len(items), 3, 1, 1)
    raw, weights = model.body(nothing, nothing)
    rows, columns = (-(-side // model.body.stride) for side in items[0].frame)
    return model.conclude(raw[:, :rows, :columns], weights[:, :rows, :columns])


def batches(items: list[Item], batch: int, rng: random.Random | None = None) -> Iterator[list[Item]]:
    """Yield the items in batches of one frame size, in random order if there is a generator."""
    by_size: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        by_size[item.frame].append(item)
    for group in by_size.values():
        if rng:
            rng.shuffle(group)
    found = [group[start : start + batch] for group in by_size.values() for start in range(0, len(group), batch)]
    if rng:
        rng.shuffle(found)
    yield from found


def score(model: VFIDPA, items: list[Item]) -> np.ndarray:
    """Return the raw score of each item, in order."""
    model.eval()
    found = {}
    with torch.inference_mode():
        for group in batches(items, 16):
            scores = assess(model, group, [item.part(0) for item in group]).score
            found |= {item.sample.triplet_id: float(value) for item, value in zip(group, scores, strict=True)}
    return np.array([found[item.sample.triplet_id] for item in items])


def fit(model: VFIDPA, by_split: dict[str, list[Item]], *, options: argparse.Namespace) -> dict:
    """Train fusion and head, leave the best running mean in ``model``, and return what validation said of it."""
    train, val = by_split["train"], by_split["val"]
    scale = fit_lpips_scale([item.sample.inputs_lpips for item in train], [item.sample.level for item in train])
    learned = [(name, value) for name, value in model.named_parameters() if ".backbone." not in name]
    groups = [
        {"params": [value for _, value in learned if value.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [value for _, value in learned if value.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    mean = running_mean(model, options.ema)
    rng, step, best = random.Random(options.seed), 0, (-math.inf, {}, {})
    num_steps = options.epochs * sum(1 for _ in batches(train, options.batch))
    for epoch in range(options.epochs):
        total = 0.0
        for group in batches(train, options.batch, rng):
            for part in optimizer.param_groups:
                part["lr"] = learning_rate(step, base=options.lr, num_steps=num_steps, warmup_steps=100)
            parts = [item.part(rng.randrange(len(MIRRORS))) for item in group]
            if rng.random() < 0.5:  # played backwards
                parts = [{**part, "shallow": part["shallow"].flip(0), "deep": part["deep"].flip(0)} for part in parts]
            targets = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
            losses = compute_losses(
                assess(model.train(), group, parts),
                level=targets["level"],
                distribution=targets["distribution"],
                lpips_level=scale.levels(targets["inputs_lpips"]),
                aux_weight=options.aux_weight,
                location_levels=targets.get("location_levels"),
            )
            optimizer.zero_grad()
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_([value for _, value in learned], 1.0)
            optimizer.step()
            mean.update_parameters(model)
            step, total = step + 1, total + float(losses.total.detach())
        raw, levels = score(mean.module, val), np.array([item.sample.level for item in val])
        mapped = fit_score_scale(raw, levels)
        found = measure_all(mapped(torch.from_numpy(raw)).numpy(), levels)
        print(f"epoch {epoch + 1}: loss {total:.1f}, val MAE {found['mae']:.3f}, SRCC {found['srcc']:.3f}", flush=True)
        if found["srcc"] > best[0]:
            state = {name: value.clone() for name, value in mean.module.state_dict().items()}
            best = (found["srcc"], state, {"val": found, "score_scale": mapped.to_dict(), "epoch": epoch + 1})
    model.load_state_dict(best[1])
    return {**best[2], "lpips_scale": scale._asdict()}


def main() -> None:
    """Make the set, compute the features, train, write the checkpoint, evaluate it on unseen clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True, help="folder of clips with their clips.tsv")
    parser.add_argument("--work", type=Path, required=True, help="folder for the set, the features and the results")
    parser.add_argument("--out", type=Path, help="folder of the checkpoint; WORK/TARGET by default")
    parser.add_argument("--target", choices=("level", "gain"), default="level")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--aux-weight", type=float, default=3.0)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--ema", type=float, default=0.995)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-clip", default=",".join(map(str, PER_CLIP)), help="pairs of a clip: train,val,test")
    parser.add_argument("--only-set", action="store_true", help="make the set with its proxy levels, and no more")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    per_clip = dict(zip(("train", "val", "test"), map(int, options.per_clip.split(",")), strict=True))
    manifest = make_set(options.library, options.work, per_clip=per_clip)
    if options.only_set:
        return
    _run(predict.main, [str(manifest.path), "--predictor", "rife-refined", "--as", "accurate"])
    manifest = read_manifest(manifest.path)
    samples, gain_scale = select_samples(manifest, resolution="256p", labels="proxy"), None
    if options.target == "gain":
        samples, gain_scale = gain_samples(manifest, resolution="256p")
    torch.manual_seed(options.seed)
    model = create_model(ModelConfig(backbone="efficientnet_lite0", input_height=ROWS)).eval()
    (options.work / "features").mkdir(exist_ok=True)
    by_split = {
        split: [features_of(model, sample, options.work / "features") for sample in samples if sample.split == split]
        for split in ("train", "val")
    }
    start_at(model, float(np.mean([item.sample.level for item in by_split["train"]])))
    backbone, spatial = model.body.backbone, model.body.spatial
    model.body.backbone, model.body.spatial = Cached(), ContentDropout(spatial)
    found = fit(model, by_split, options=options)
    model.body.backbone, model.body.spatial = backbone, spatial
    meta = {
        **found,
        "train": {"target": options.target, "labels": "proxy", "epochs": options.epochs, "batch": options.batch,
                  "lr": options.lr, "aux_weight": options.aux_weight, "weight_decay": options.weight_decay,
                  "ema": options.ema, "seed": options.seed, "frozen": "backbone"},
        "clips": {split: sorted({item.sample.clip for item in items}) for split, items in by_split.items()},
        "num_samples": {split: len(items) for split, items in by_split.items()},
        "pairs_sha256": pairs_sha256(samples),
    }  # fmt: skip
    if gain_scale is not None:
        meta["gain_scale"] = gain_scale._asdict()
    out = options.out or options.work / options.target
    save_checkpoint(out, model.half(), meta=meta)
    evaluation = evaluate(out, options.work / "data_manifest.parquet", device="cpu")
    write_evaluation(replace(evaluation, title=f"the shipped model on {options.target} of unseen clips"), out / "test")
    print((out / "test" / "evaluation.md").read_text())


if __name__ == "__main__":
    main()

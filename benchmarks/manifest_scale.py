"""What a manifest costs as it grows: python benchmarks/manifest_scale.py --rows 13000 100000 1000000 --folder FOLDER

Makes a manifest of invented rows (10 triplets of a clip at three resolutions; no image files without --files), and
measures each step in a process of its own: CPU seconds, seconds that passed, and the most memory it held. 10,000,000
rows work, too.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TRIPLETS_PER_CLIP, INTERVAL, FIRST_INDEX = 10, 4, 100
TIERS = {"1080p": (1920, 1080), "256p": (456, 256), "720p": (1280, 720)}
FRAMES_PER_CLIP = TRIPLETS_PER_CLIP * 2 + 1
CLIPS_AT_ONCE = 2000
VOTES = 1_000_000
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_strings(raw: np.ndarray) -> pa.Array:
    """Return 32 random bytes a row as hexadecimal text."""
    digits = np.empty((len(raw), 64), np.uint8)
    digits[:, ::2], digits[:, 1::2] = _HEX[raw >> 4], _HEX[raw & 15]
    offsets = np.arange(0, 64 * len(raw) + 1, 64, dtype=np.int32)
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(digits))


def pieces(rows: int) -> Iterator[pa.Table]:
    """Yield invented rows, sorted by ``triplet_id``, a few thousand clips at a time."""
    from dataset_tools.sampling.splits import split_of

    per_clip = TRIPLETS_PER_CLIP * len(TIERS)
    for start in range(0, -(-rows // per_clip), CLIPS_AT_ONCE):
        clips = range(start, min(start + CLIPS_AT_ONCE, -(-rows // per_clip)))
        yield clip_rows(clips, split_of).slice(0, rows - start * per_clip)


def clip_rows(clips: range, split_of) -> pa.Table:
    generator = np.random.default_rng(clips.start)
    per_clip, number = TRIPLETS_PER_CLIP * len(TIERS), len(clips) * TRIPLETS_PER_CLIP * len(TIERS)
    clip = np.repeat(np.arange(len(clips)), per_clip)
    triplet = np.tile(np.repeat(np.arange(TRIPLETS_PER_CLIP), len(TIERS)), len(clips))
    tier = np.tile(np.arange(len(TIERS)), len(clips) * TRIPLETS_PER_CLIP)
    names = [f"part{index // 1000:05d}/clip{index:08d}.mp4" for index in clips]
    splits = [split_of(f"videos/{name}", shares=(0.8, 0.1, 0.1), seed=0) for name in names]
    hashes = generator.integers(0, 256, (len(clips), FRAMES_PER_CLIP, len(TIERS), 32), np.uint8)
    scenes = generator.integers(4000, 60000, (len(clips), 1, 1, 48))
    noise = generator.integers(-500, 500, (len(clips), FRAMES_PER_CLIP, 1, 48))
    prints = np.broadcast_to((scenes + noise).astype("<u2"), (len(clips), FRAMES_PER_CLIP, len(TIERS), 48))
    tiers = list(TIERS)
    index = {name: FIRST_INDEX + INTERVAL * (2 * triplet + at) for at, name in enumerate(("img0", "gt", "img1"))}
    labels = [names[c] for c in clip]
    frames = [f"frames/videos/{names[c]}/{tiers[t]}" for c, t in zip(clip, tier, strict=True)]
    ids = [
        f"videos/{labels[row]}/{index['img0'][row]}-{index['gt'][row]}-{index['img1'][row]}@{tiers[tier[row]]}"
        for row in range(number)
    ]
    lpips = generator.beta(1, 12, number).astype(np.float32)
    columns = {
        "triplet_id": pa.array(ids),
        "source": pa.array(["videos"] * number).dictionary_encode(),
        "clip": pa.array(labels),
        "clip_sha256": hex_strings(generator.integers(0, 256, (len(clips), 32), np.uint8)).take(pa.array(clip)),
        "clip_group": pa.array([f"videos/{name}" for name in labels]),
        "resolution": pa.DictionaryArray.from_arrays(pa.array(tier.astype(np.int32)), pa.array(tiers)),
        "width": pa.array(np.array([TIERS[name][0] for name in tiers], np.int32)[tier]),
        "height": pa.array(np.array([TIERS[name][1] for name in tiers], np.int32)[tier]),
        "native_width": pa.array(np.full(number, 1920, np.int32)),
        "native_height": pa.array(np.full(number, 1080, np.int32)),
        "interval": pa.array(np.full(number, INTERVAL, np.int32)),
        "split": pa.array([splits[c] for c in clip]).dictionary_encode(),
        "pred_lpips": pa.array(lpips),
        "pred_psnr": pa.array(generator.normal(32, 4, number).astype(np.float32)),
        "pred_ssim": pa.array(generator.beta(20, 1, number).astype(np.float32)),
        "inputs_lpips": pa.array(generator.beta(1, 6, number).astype(np.float32)),
        "motion": pa.array(generator.gamma(2, 4, number).astype(np.float32)),
        "level": pa.array((1 + np.searchsorted([0.02, 0.06, 0.15], lpips)).astype(np.float32)),
        "level_source": pa.array(["proxy"] * number).dictionary_encode(),
        "num_annotations": pa.array(np.zeros(number, np.int32)),
        "pred": pa.array([f"pred/rife/{path[7:]}/{name}.png" for path, name in zip(frames, index["gt"], strict=True)]),
        "pred_sha256": hex_strings(generator.integers(0, 256, (number, 32), np.uint8)),
        "predictor": pa.array(["rife-3.9"] * number),
        "predictor_sha256": pa.array(["b" * 64] * number),
    }
    for at, name in enumerate(("img0", "gt", "img1")):
        frame = 2 * triplet + at
        columns[f"{name}_index"] = pa.array(index[name])
        columns[name] = pa.array([f"{path}/{place:06d}.png" for path, place in zip(frames, index[name], strict=True)])
        columns[f"{name}_sha256"] = hex_strings(hashes[clip, frame, tier])
        flat = np.ascontiguousarray(prints[clip, frame, tier]).view(np.uint8).reshape(number, 96)
        columns[f"{name}_fingerprint"] = pa.array(flat.reshape(-1).view("S96").astype(object), pa.binary())
    return pa.table(columns)


def make(path: Path, rows: int) -> None:
    from dataset_tools.common.files import atomic_writer
    from dataset_tools.common.parquet import ROWS_PER_GROUP
    from dataset_tools.manifest import SCHEMA_VERSION, conform

    metadata = {
        "schema_version": SCHEMA_VERSION,
        "seed": "0",
        "extraction": json.dumps({"count": rows}),
        "created_by": "manifest_scale",
    }
    with atomic_writer(path) as file:
        writer = None
        for piece in pieces(rows):
            table = conform(piece, path)
            writer = writer or pq.ParquetWriter(file, table.schema.with_metadata(metadata), compression="zstd")
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        writer.close()


def step_open(path: Path) -> str:
    from dataset_tools.columns.file import open_manifest

    return f"{len(open_manifest(path))} rows"


def step_filter(path: Path) -> str:
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.columns.query import select_ids

    where = "resolution = '256p' and pred_lpips > 0.2 and split = 'train'"
    return f"{len(select_ids(open_manifest(path), where))} rows fit"


def step_merge_votes(path: Path) -> str:
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.columns.rewrite import Updates, rewrite_manifest
    from dataset_tools.manifest import SCHEMA

    manifest = open_manifest(path)
    number = min(VOTES, len(manifest))
    every = max(1, len(manifest) // number)
    ids = pa.concat_tables(
        [piece.take(pa.array(range(0, len(piece), every))) for piece in manifest.batches(["triplet_id"])]
    )
    votes = [[{"annotator": "ada", "level": 2, "flagged": False}]] * len(ids)
    new = ids.append_column("votes", pa.array(votes, SCHEMA.field("votes").type))
    new = new.append_column("level", pa.array([2.0] * len(ids), pa.float32()))
    rewrite_manifest(path, Updates(new).over, out=path.with_name("voted.parquet"))
    return f"{len(ids)} votes"


def step_resplit(path: Path) -> str:
    from dataset_tools.checks.resplitting import resplit_data_set

    voted = path.with_name("voted.parquet")
    return f"{len(set(resplit_data_set(voted, everything=True, seed=1).groups.values()))} groups"


def step_verify(path: Path) -> str:
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.verify import verify_data_set

    return f"{len(verify_data_set(open_manifest(path), files=False).faults)} faults"


def step_report(path: Path) -> str:
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.report import report_html

    return f"{len(report_html(open_manifest(path)))} characters"


def step_training_start(path: Path) -> str:
    """All that a training does with a manifest before its first step; it looks for frames if ``--files`` made some."""
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.common.files import sha256_file
    from dataset_tools.sampling.splits import SPLITS
    from vfidpa_model.pairs.labels import select_samples, training_samples
    from vfidpa_model.pairs.loading import epoch_batches
    from vfidpa_model.pairs.pairs_hash import pairs_sha256
    from vfidpa_model.pairs.sample_table import numbers_of, of_split

    manifest, has_files = open_manifest(path), (path.parent / "frames").exists()
    if has_files:
        samples = training_samples(manifest, resolution="256p", labels="proxy", aux_weight=0.0)
    else:
        samples = select_samples(manifest, resolution="256p", labels="proxy")
    pairs_sha256(samples)
    train, _, _ = (of_split(samples, split) for split in SPLITS)
    numbers_of(train, "level")
    epoch_batches(len(train), batch=8, seed=0, epoch=0)
    sha256_file(path)
    return f"{len(samples)} samples" + ", frames looked for" * has_files


def step_frames_exist(path: Path) -> str:
    """The rest of it, timed by itself; ``--files`` makes the files it looks for."""
    from dataset_tools.columns.file import open_manifest
    from vfidpa_model.pairs.labels import check_frames_exist, select_samples

    manifest = open_manifest(path)
    samples = select_samples(manifest, resolution="256p", labels="proxy")
    cpu, wall = time.process_time(), time.perf_counter()
    check_frames_exist(samples, manifest=manifest)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return f"{2 * len(samples)} files: {cpu:.1f} s of CPU, {wall:.1f} s passed"


def make_files(path: Path) -> None:
    """Make the files of a manifest's 256p rows, empty."""
    from dataset_tools.columns.file import open_manifest

    for piece in open_manifest(path).batches(["resolution", "img0", "img1"]):
        at_256p = piece.filter(pc.equal(piece.column("resolution").cast(pa.string()), "256p"))
        for name in ("img0", "img1"):
            for relative in at_256p.column(name).to_pylist():
                file = path.parent / relative
                try:
                    file.touch()
                except FileNotFoundError:
                    file.parent.mkdir(parents=True)
                    file.touch()


def step_extract_more(path: Path) -> str:
    """Let ``extract`` add 30 rows of the demo clips to a data set of other clips."""
    from dataset_tools import extract

    more = path.parent / "more"
    more.mkdir(exist_ok=True)
    shutil.rmtree(more / ".extraction", ignore_errors=True)
    (more / path.name).unlink(missing_ok=True)
    os.link(path, more / path.name)
    count = str(pq.ParquetFile(path).metadata.num_rows + 30)
    with contextlib.redirect_stdout(sys.stderr):
        arguments = ["--source", "demo", "--predictor", "none", "--count", count]
        extract.main([*arguments, "--out", str(more)])
    rows = pq.ParquetFile(more / path.name).metadata.num_rows
    return f"{rows} rows in the end"


STEPS = {name[5:]: function for name, function in globals().items() if name.startswith("step_")}


def measure(step: str, path: Path) -> dict[str, object]:
    """Run a step in this process and say what it took."""
    start = time.perf_counter()
    said = STEPS[step](path)
    wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"said": said, "wall": wall, "cpu": used.ru_utime + used.ru_stime, "gib": used.ru_maxrss / 2**20}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[13_000, 100_000])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--files", action="store_true", help="make the image files of 256p rows, empty")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.step:
        print(json.dumps(measure(arguments.step, arguments.folder)))
        return
    print("| rows | step | CPU s | wall s | GiB | |\n| --- | --- | --- | --- | --- | --- |")
    for rows in arguments.rows:
        path = arguments.folder / str(rows) / "data_manifest.parquet"
        if not path.exists():
            make(path, rows)
        if arguments.files:
            make_files(path)
        for step in arguments.steps:
            if step == "frames_exist" and not (path.parent / "frames").exists():
                continue
            command = [sys.executable, __file__, "--folder", str(path), "--step", step]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(
                    f"| {rows} | {step} | failed: {(done.stderr.strip().splitlines() or ['killed'])[-1]} | | | |",
                    flush=True,
                )
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            numbers = f"{found['cpu']:.1f} | {found['wall']:.1f} | {found['gib']:.2f}"
            print(f"| {rows} | {step.replace('_', ' ')} | {numbers} | {found['said']} |", flush=True)


if __name__ == "__main__":
    main()

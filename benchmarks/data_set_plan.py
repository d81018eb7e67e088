"""What a large data set takes, from a small one: ``python benchmarks/data_set_plan.py --clips FOLDER``.

Extracts rows of the clips in a folder, predicts, assesses and verifies a few of them, and counts the CPU seconds of
each part (processes started for it included, loading of networks not). From that it prints, for ``--triplets`` triplets
at every tier on ``--machines`` machines of ``--cores`` cores: core hours, hours, bytes, and what they cost at prices
given. It takes the cluster to be busy to the last core, and the storage to keep up: see docs/many_machines.md.
"""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dataset_tools import extract, predict, verify
from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.manifest import Manifest, read_manifest
from vfidpa_model import predict as assess

FRAMES = ("img0", "gt", "img1")


def cpu_seconds(work: Callable[[], int]) -> float:
    """Return the CPU seconds of this process and of those it started and waited for."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    start = spent()
    if work():
        raise SystemExit("a command failed; its own words are above")
    return spent() - start


def measure(clips: Path, out: Path, *, count: int, rows: int) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """Return CPU seconds of a triplet by part, bytes of a triplet by kind, and the tiers that the clips reach."""
    source = ["--source", f"videos:{clips}", "--out", str(out), "--seed", "7", "--predictor", "none"]
    spent = cpu_seconds(lambda: extract.main([*source, "--count", str(count), "--workers", "1"]))
    manifest = read_manifest(out / "data_manifest.parquet")
    names = manifest.table.column("resolution").to_pylist()
    tiers = [tier for tier in RESOLUTION_HEIGHTS if tier in names]
    triplets = {(row["clip"], row["img0_index"], row["img1_index"]) for row in manifest.rows()}
    clips_used = len(set(manifest.table.column("clip").to_pylist()))
    print(f"{len(manifest)} rows, {len(triplets)} triplets of {clips_used} clips\n")
    share = len(tiers) / len(manifest)  # a triplet is a row at every tier
    seconds = {f"extract, {len(triplets) / clips_used:.0f} triplets a clip": spent * share}
    bytes_of = {"frames": 0.0, "predictions": 0.0, "manifest": manifest.path.stat().st_size * share}
    for tier in tiers:
        places = [place for place, name in enumerate(names) if name == tier]
        chosen = places[:: max(1, len(places) // rows)][:rows]
        part = Manifest(out / f"{tier}.parquet", manifest.table.take(chosen), manifest.metadata)
        part.write()
        command = [str(part.path), "--overwrite"]
        predict.main(command)  # once for imports and networks
        seconds[f"predict, {tier}"] = cpu_seconds(lambda of=command: predict.main(of)) / len(chosen)
        spent = cpu_seconds(lambda of=part.path: verify.main([str(of)])) / len(chosen)
        seconds["verify"] = seconds.get("verify", 0.0) + spent
        if tier == tiers[0]:  # that of the model that comes with the toolkit
            command = ["--manifest", str(part.path), "--backend", "torch"]
            assess.main(command)
            seconds[f"assess, {tier}"] = cpu_seconds(lambda of=command: assess.main(of)) / len(chosen)
        for row in read_manifest(part.path).rows():
            bytes_of["frames"] += sum((out / row[name]).stat().st_size for name in FRAMES) / len(chosen)
            bytes_of["predictions"] += (out / row["pred"]).stat().st_size / len(chosen)
    return seconds, bytes_of, tiers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="rows to extract")
    parser.add_argument("--rows", type=int, default=8, help="rows of each tier to predict, assess and verify")
    parser.add_argument("--triplets", type=int, default=1_000_000)
    parser.add_argument("--machines", type=int, default=20)
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--core-hour", type=float, default=0.0, help="price of a core for an hour")
    parser.add_argument("--terabyte-month", type=float, default=0.0, help="price of a terabyte kept for a month")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, bytes_of, tiers = measure(options.clips, Path(folder, "set"), count=options.count, rows=options.rows)
    cores = options.machines * options.cores
    print(
        f"{options.triplets:,} triplets at {', '.join(tiers)} on {options.machines} machines of {options.cores} cores\n"
    )
    print("| part | CPU s a triplet | core hours | hours | price |\n| --- | --- | --- | --- | --- |")
    for part, each in {**seconds, "all": sum(seconds.values())}.items():
        hours = each * options.triplets / 3600
        print(f"| {part} | {each:.2f} | {hours:,.0f} | {hours / cores:.1f} | {hours * options.core_hour:,.0f} |")
    print("\n| kept | kB a triplet | TB | price a month |\n| --- | --- | --- | --- |")
    for kind, each in {**bytes_of, "all": sum(bytes_of.values())}.items():
        terabytes = each * options.triplets / 1e12
        print(f"| {kind} | {each / 1e3:,.1f} | {terabytes:.2f} | {terabytes * options.terabyte_month:,.0f} |")


if __name__ == "__main__":
    sys.exit(main())

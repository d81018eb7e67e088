"""Command line: put every recording into one split. Labels, rows and frames stay."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.checks.resplitting import resplit_data_set
from dataset_tools.common import cli


def resplit(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet; it is rewritten.")],
    split: Annotated[str | None, typer.Option(help="Shares of train,val,test; the extraction's by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the splits; the extraction's by default.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="Regular expression: clips in whose names it finds the same stay in one split."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Deal all groups anew, also those that are in one split.")
    ] = False,
) -> None:
    """Put every recording into one split: clips that share a file, a group, or equal or near-equal frames.

    Only torn groups move, unless --all is given. Rows, frames, votes and levels stay as they are.

    Example: python -m dataset_tools.resplit data/data_manifest.parquet
    """
    done = resplit_data_set(manifest, split=split, seed=seed, group_by=group_by, everything=everything)
    for key, before in sorted(done.moved.items()):
        cli.say(f"{'/'.join(key)}: from {' and '.join(sorted(before))} to {done.splits[key]}")
    counts = Counter(done.splits.values())
    shown = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
    num_groups = len(set(done.groups.values()))
    cli.say(f"{manifest}: {len(done.splits)} clips in {num_groups} groups ({shown}), {len(done.moved)} clips moved")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.resplit`` and return its exit code."""
    return cli.run(resplit, argv, prog="python -m dataset_tools.resplit")


if __name__ == "__main__":
    sys.exit(main())

"""Command line: clips to triplets to predictions to a manifest."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.common import cli
from dataset_tools.common.cluster import RayOption, check_device, check_workers
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.errors import UsageError
from dataset_tools.extraction.options import parse_options
from dataset_tools.extraction.run import extract_data_set
from dataset_tools.workers import SILENCE_SECONDS


def extract(
    source: Annotated[
        list[str], typer.Option(help="KIND:PATH with KIND vimeo90k, adobe240, videos or frames; or demo. Repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    count: Annotated[int, typer.Option(help="Rows of the manifest (triplets times resolutions).")],
    resolutions: Annotated[str, typer.Option(help="Tiers to store; a clip is never enlarged.")] = "256p,720p,1080p",
    intervals: Annotated[str, typer.Option(help="Range of frame steps from img0 to gt, or one number.")] = "1-16",
    per_clip: Annotated[int | None, typer.Option(help="Triplets per clip at most.", min=1)] = None,
    split: Annotated[str, typer.Option(help="Shares of train,val,test, by group of clips.")] = "0.8,0.1,0.1",
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Regular expression: clips in whose names it finds the same (its first bracket) stay in one split, "
            "besides those that show the same frames."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all choices.")] = 0,
    max_static: Annotated[float, typer.Option(help="Share of rows in which nothing may move.")] = 0.02,
    predictor: Annotated[str, typer.Option(help="rife, or none for frames only.")] = "rife",
    decoder: Annotated[str, typer.Option(help="pyav or decord.")] = "pyav",
    workers: Annotated[int, typer.Option(help="Decoding processes; 0 means one per core.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="Of the predictor: auto, cpu, cuda or cuda:N.")] = "auto",
    fps: Annotated[float | None, typer.Option(help="Frames per second of frames: sources; none by default.")] = None,
    interlaced: Annotated[
        str, typer.Option(help="Interlaced and telecined clips: reject, deinterlace (FFmpeg's bwdif) or keep.")
    ] = "reject",
    hdr: Annotated[str, typer.Option(help="Clips in PQ or HLG: reject, or tonemap them to BT.709.")] = "reject",
    damage: Annotated[
        str, typer.Option(help="Damaged and cut-off clips: reject, or keep-before: use what comes before the damage.")
    ] = "reject",
    clip_timeout: Annotated[
        float, typer.Option(help="Give a clip up after so many seconds without a frame.")
    ] = SILENCE_SECONDS,
    frames_root: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where image files go: s3://BUCKET/PATH, gs://BUCKET/PATH or an absolute folder; else into --out.",
        ),
    ] = None,
    ray: RayOption = None,
) -> int:
    """Extract triplets from clips, predict their middle frames, and write data_manifest.parquet.

    Run the same command again to go on after an interruption, or with a larger --count to add rows. Clips and
    triplets that cannot be used are listed with reasons in rejected.parquet.

    Example: python -m dataset_tools.extract --source videos:clips --out data --count 600 --seed 7
    """
    keep_freed_memory()  # for the predictor
    if not clip_timeout > 0:  # nan is not, either
        raise UsageError(f"--clip-timeout {clip_timeout} must be more than 0 seconds")
    check_workers(workers, ray)
    options = parse_options(
        sources=tuple(source),
        out=out,
        count=count,
        resolutions=resolutions,
        intervals=intervals,
        per_clip=per_clip,
        split=split,
        seed=seed,
        max_static=max_static,
        predictor=predictor,
        decoder=decoder,
        workers=workers,
        device=device,
        silence_seconds=clip_timeout,
        group_by=group_by,
        fps=fps,
        interlaced=interlaced,
        hdr=hdr,
        damage=damage,
        ray=ray,
        frames_root=frames_root,
    )
    if ray is not None:
        check_device(device)
    elif predictor != "none" and device not in ("auto", "cpu"):
        from dataset_tools.common.device import select_device

        select_device(device)  # a wrong name should not wait until everything is decoded
    summary = extract_data_set(options)
    rows = summary.done + summary.skipped
    if rows < summary.wanted:
        cli.say(f"the clips gave {rows} of {summary.wanted} rows; see {out / 'rejected.parquet'}")
    if summary.empty_splits:
        cli.say(
            f"no clip came into {' and '.join(summary.empty_splits)}: a split follows from a clip's group alone, and "
            f"{summary.num_groups} groups are few; take another --seed in a new folder, or dataset_tools.resplit"
        )
    cli.say(f"{out}: {summary.done} rows done, {summary.skipped} skipped, {summary.rejected} rejected")
    return cli.OK if rows else cli.FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(extract, argv, prog="python -m dataset_tools.extract")


if __name__ == "__main__":
    sys.exit(main())

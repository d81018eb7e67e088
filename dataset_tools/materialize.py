"""Command line: make the frames of a manifest again from the clips, and check them against its hashes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.columns.file import open_manifest
from dataset_tools.common import cli
from dataset_tools.common.cluster import RayOption, check_workers, join_cluster
from dataset_tools.common.remote import parse_place, reachable
from dataset_tools.errors import UsageError
from dataset_tools.extraction.rebuilding import rebuild_frames
from dataset_tools.video import check_decoder
from dataset_tools.workers import SILENCE_SECONDS
from dataset_tools.workers.ray_pool import open_pool


def materialize(
    manifest: Annotated[Path, typer.Argument(help="The manifest (data_manifest.parquet).")],
    source: Annotated[list[str], typer.Option(help="Where the clips are: KIND:PATH, or demo. Repeatable.")],
    out: Annotated[
        str | None, typer.Option(help="Folder or URL (s3://, gs://) for the frames; where they are by default.")
    ] = None,
    predictions: Annotated[bool, typer.Option("--predictions", help="Make the predictions again, too.")] = False,
    predictor: Annotated[str, typer.Option(help="Interpolator that made them.")] = "rife",
    weights: Annotated[Path | None, typer.Option(help="Its weights file; RIFE has its own by default.")] = None,
    device: Annotated[str, typer.Option(help="For the predictions: auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="Engine that made the predictions: torch, ncnn or vulkan.")] = "torch",
    decoder: Annotated[str | None, typer.Option(help="pyav or decord; that of the extraction by default.")] = None,
    workers: Annotated[int, typer.Option(help="Decoding processes; 0 means one per core.", min=0)] = 0,
    clip_timeout: Annotated[
        float, typer.Option(help="Give a clip up after so many seconds without a frame.")
    ] = SILENCE_SECONDS,
    ray: RayOption = None,
) -> int:
    """Make all frames of a manifest again from the clips it was extracted from, and check their hashes.

    Where a hash differs, one line says by how much: from the original if that is still in the manifest's folder, else
    from the fingerprint in the manifest (means of 16 blocks). One level of 255 is accepted, 0.1 levels on average for
    predictions. Originals that have the manifest's hash are never overwritten. Ends with 1 when anything differs more,
    cannot be judged or cannot be made.

    Example: python -m dataset_tools.materialize data_manifest.parquet --source demo --out demo
    """
    if not clip_timeout > 0:  # nan is not, either
        raise UsageError(f"--clip-timeout {clip_timeout} must be more than 0 seconds")
    check_workers(workers, ray)
    if decoder is not None:
        check_decoder(decoder, name="--decoder")
    table = open_manifest(manifest)
    to = table.frames if out is None else reachable(parse_place(out))
    with join_cluster(ray, writes_to=to) as cluster:
        if predictions:
            from dataset_tools.prediction.ray_predictor import open_predictor

            # A wrong name should not wait for the frames.
            engine = open_predictor(cluster, predictor, weights=weights, device=device, backend=backend)
        with open_pool(workers, silence_seconds=clip_timeout, cluster=cluster) as pool:
            checks = {"frames": rebuild_frames(table, sources=source, out=to, decoder=decoder, pool=pool)}
        if predictions:
            from dataset_tools.checks.predictions import rebuild_predictions

            checks["predictions"] = rebuild_predictions(table, out=to, engine=engine)
    for check in checks.values():
        for fault in check.faults:
            cli.say(fault)
        for line in check.accepted:
            cli.say(f"accepted: {line}")
    for name, check in checks.items():
        accepted = f"{len(check.accepted)} accepted with differences"
        cli.say(f"{to}: {check.num_equal} {name} equal, {accepted}, {len(check.faults)} faults")
    return cli.FAILED if any(check.faults for check in checks.values()) else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(materialize, argv, prog="python -m dataset_tools.materialize")


if __name__ == "__main__":
    sys.exit(main())

"""Command line: (re)compute the predictions and metrics of a manifest. Also called by ``extract``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.columns.file import open_manifest
from dataset_tools.columns.rewrite import rewrite_manifest
from dataset_tools.common import cli
from dataset_tools.common.cluster import RayOption, join_cluster
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.errors import UsageError
from dataset_tools.prediction.columns import ROLES
from dataset_tools.prediction.proxy_levels import level_by_proxy
from dataset_tools.prediction.run import predict_rows


def predict(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet; it is rewritten.")],
    predictor: Annotated[str, typer.Option(help="Name of an interpolator, or module:Class.")] = "rife",
    weights: Annotated[Path | None, typer.Option(help="Weights file; RIFE has its own by default.")] = None,
    role: Annotated[
        str,
        typer.Option(
            "--as",
            help="pred; or accurate: measure what this interpolator would add to the predictions that are there; "
            "or measures: give these FloLPIPS and PSNR_DIV (no interpolator needed).",
        ),
    ] = "pred",
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Keep predictions of other predictors and weights.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Predict again what is there already.")] = False,
    proxy_levels: Annotated[
        bool,
        typer.Option(
            "--proxy-levels",
            help="Give rows nobody labelled a level by pred_lpips: 1 below 0.02, 2 below 0.06, 3 below 0.15, else 4.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[
        str,
        typer.Option(
            help="Engine of RIFE's convolutions: torch, ncnn (extra ncnn, CPU), vulkan or vulkan:N (ncnn on a graphics "
            "card), or auto: ncnn where installed. Pixels differ by less than 0.05 of 255; the manifest's predictor "
            "then ends with +ncnn or +vulkan."
        ),
    ] = "torch",
    ray: RayOption = None,
) -> int:
    """Predict the middle frames of a manifest's triplets and measure them.

    Only what is missing, or was made by another predictor or other weights, is computed. Rows with votes keep the
    prediction people saw. With --as accurate the predictions stay; the columns accurate_psnr, accurate_lpips and
    accurate_gain (error removed per 64-pixel cell) are filled, which train --target gain learns from. With --as
    measures the columns pred_flolpips and pred_psnr_div are.

    \b
    Examples:
      python -m dataset_tools.predict data/data_manifest.parquet --predictor rife-full
      python -m dataset_tools.predict data/data_manifest.parquet --predictor rife-refined --as accurate
      python -m dataset_tools.predict data/data_manifest.parquet --as measures
    """
    keep_freed_memory()
    if overwrite and only_missing:
        raise UsageError("--overwrite and --only-missing exclude each other")
    if role not in ROLES:
        raise UsageError(f"--as ({role!r}) must be one of {', '.join(ROLES)}")
    if proxy_levels and role != "pred":
        raise UsageError("--proxy-levels goes with --as pred: levels follow the prediction")
    table = open_manifest(manifest)
    with join_cluster(ray, writes_to=table.frames) as cluster:
        outcome = predict_rows(
            table,
            predictor=predictor,
            weights=weights,
            device=device,
            backend=backend,
            role=role,
            only_missing=only_missing,
            overwrite=overwrite,
            cluster=cluster,
        )
    if proxy_levels:
        rewrite_manifest(outcome.manifest.path, lambda piece: level_by_proxy(piece, add=True))
    for failure in outcome.failures:
        cli.say(failure, is_error=True)
    cli.say(
        f"{manifest}: {outcome.num_done} rows predicted, {outcome.num_current} up to date, "
        f"{outcome.num_voted} kept because of their votes, {len(outcome.failures)} failed"
    )
    return cli.FAILED if outcome.failures else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.predict`` and return its exit code."""
    return cli.run(predict, argv, prog="python -m dataset_tools.predict")


if __name__ == "__main__":
    sys.exit(main())

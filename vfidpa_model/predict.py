"""``python -m vfidpa_model.predict``: the difficulty of one frame pair, or of every pair of a manifest."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.common import cli
from dataset_tools.common.cluster import RayOption, join_cluster
from dataset_tools.errors import UsageError
from dataset_tools.levels import LEVEL_NAMES, LEVELS

if TYPE_CHECKING:
    from vfidpa_model.inference.assessor import Assessor

DEFAULT_ASSESSOR = "light"  # see inference.checkpoint.SHIPPED


def predict(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN] [IMG0 IMG1]",
            help="training run, checkpoint folder or light, the model that comes with the toolkit (the default); "
            "and two image files",
        ),
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="score every pair of this manifest, into column score")] = None,
    map: Annotated[  # noqa: A002
        Path | None, typer.Option(help="also write the score map over the mean of the two frames to this PNG")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[
        str, typer.Option(help="torch, onnx, openvino, or auto: the fastest that was exported, on a CPU")
    ] = "auto",
    ray: RayOption = None,
) -> int:
    """Predict how hard a frame pair is to interpolate, from 1 (easy) to 4 (failed), without interpolating.

    With --manifest, pairs of the model's tier get their score, null where a frame cannot be read; other rows, and all
    labels, stay as they are.

    \b
    Examples:
      python -m vfidpa_model.predict img0.png img1.png --map difficulty.png
      python -m vfidpa_model.predict runs/light img0.png img1.png
      python -m vfidpa_model.predict runs/light --manifest data/data_manifest.parquet
    """
    run, frames = _split_arguments(paths or [], has_manifest=manifest is not None)
    if map is not None and not frames:
        raise UsageError("--map goes with two frames, not with --manifest")
    if manifest is not None:
        return _predict_manifest(run, manifest, device=device, backend=backend, ray=ray)
    if ray is not None:
        raise UsageError("--ray goes with --manifest, not with two frames")
    from dataset_tools.common.device import select_device
    from vfidpa_model.inference.assessor import load_checkpoint

    assessor = load_checkpoint(run, device=select_device(device), backend=backend)
    _predict_pair(assessor, frames[0], frames[1], picture=map)
    return cli.OK


def _split_arguments(paths: Sequence[Path], *, has_manifest: bool) -> tuple[Path, Sequence[Path]]:
    """Return the run and the frames; without a run it is the model that comes with the toolkit.

    Raises:
        UsageError: Neither two frames nor a manifest, or both.
    """
    num_frames = 0 if has_manifest else 2
    if len(paths) not in (num_frames, num_frames + 1):
        wanted = "at most a run" if has_manifest else "two frames, or a run and two frames, or --manifest"
        raise UsageError(f"arguments ({len(paths)}) must be {wanted}")
    is_given = len(paths) > num_frames
    return (paths[0] if is_given else Path(DEFAULT_ASSESSOR)), paths[is_given:]


def _predict_pair(assessor: "Assessor", first: Path, second: Path, *, picture: Path | None) -> None:
    from dataset_tools.frames import read_image, write_image
    from vfidpa_model.evaluation.score_maps import overlay
    from vfidpa_model.inference.assessor import as_batch

    img0, img1 = read_image(first), read_image(second)
    if img0.shape != img1.shape:
        raise UsageError(f"{first} and {second} must have one size, found {img0.shape[:2]} and {img1.shape[:2]}")
    found = assessor.assess(as_batch(img0), as_batch(img1))
    score = float(found.score)
    level = min(max(round(score), LEVELS[0]), LEVELS[-1])
    print(f"{score:.3f} ({LEVEL_NAMES[level]}; model for {assessor.config.tier}, {assessor.backend})")
    if picture is not None:
        mean = ((img0.astype("uint16") + img1 + 1) // 2).astype("uint8")
        write_image(picture, overlay(mean, found.score_map[0].float().cpu().numpy()))


def _predict_manifest(run: Path, path: Path, *, device: str, backend: str, ray: str | None) -> int:
    from dataset_tools.columns.file import open_manifest
    from vfidpa_model.inference.scoring import score_manifest

    with join_cluster(ray, reads=open_manifest(path).frames) as cluster:
        done = score_manifest(path, run, device=device, backend=backend, cluster=cluster)
    for failure in done.failures:
        cli.say(failure, is_error=True)
    print(
        f"{path}: {done.num_chosen - len(done.failures)} pairs scored, {done.num_others} of another tier, "
        f"{len(done.failures)} failed ({done.made_by['backend']} on {done.made_by['device']})"
    )
    return cli.FAILED if done.failures else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(predict, argv, prog="python -m vfidpa_model.predict")


if __name__ == "__main__":
    sys.exit(main())

"""Makes the predictions of a manifest again and checks them; whole originals are never overwritten."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataset_tools.checks.pixels import MAX_PREDICTION_DIFFERENCE, Check, Difference, block_difference, mean_difference
from dataset_tools.common.device import num_cores
from dataset_tools.common.files import inside
from dataset_tools.common.progress import track
from dataset_tools.errors import FrameError, VfiError
from dataset_tools.frames import Rgb, pixels_sha256, read_image
from dataset_tools.manifest import Manifest
from dataset_tools.prediction.predictor import Predictor, Row


def rebuild_predictions(manifest: Manifest, *, out: Path, engine: Predictor) -> Check:
    """Predict every row again that has a prediction, from the frames under ``out``, and return the check.

    In the manifest's own folder, predictions that are there and have the manifest's hash stay as they are.
    """
    check = Check()
    wanted = []
    rows = [row for row in manifest.rows() if row["pred"] is not None]
    is_home = out.resolve() == manifest.root.resolve()
    with ThreadPoolExecutor(num_cores()) as pool:
        is_whole = list(pool.map(lambda row: is_home and _original(row, manifest) is not None, rows))
    for row, stays in zip(rows, is_whole, strict=True):
        if (row["predictor"], row["predictor_sha256"]) != (engine.name, engine.weights_sha256):
            check.faults.append(
                f"{row['pred']}: made by {row['predictor']}, not by this {engine.name}; see --predictor"
            )
        elif stays:
            check.num_equal += 1
        else:
            wanted.append(row)
    with track("predictions", len(wanted)) as progress:
        for place, result in engine.predict(wanted, root=out):
            _judge(wanted[place], result, manifest, out, check)
            progress.advance()
    return check


def _judge(row: Row, result: dict[str, object] | VfiError, manifest: Manifest, out: Path, check: Check) -> None:
    if isinstance(result, VfiError):
        check.faults.append(f"{row['pred']}: {result}")
        return
    is_equal = result["pred_sha256"] == row["pred_sha256"]
    try:
        made = inside(out, str(result["pred"]))
        difference = None if is_equal else _difference(row, read_image(made), manifest)
    except FrameError as error:
        check.faults.append(f"{row['pred']}: {error}")
        return
    check.add(row["pred"], is_equal=is_equal, difference=difference, accepted=MAX_PREDICTION_DIFFERENCE)


def _difference(row: Row, made: Rgb, manifest: Manifest) -> Difference | None:
    original = _original(row, manifest)
    if original is not None and original.shape == made.shape:
        return mean_difference(original, made)
    return block_difference(row["pred_fingerprint"], made)


def _original(row: Row, manifest: Manifest) -> Rgb | None:
    """Return the prediction in the manifest's folder if it has the manifest's hash."""
    try:
        pixels = read_image(manifest.file(row, "pred"))
    except FrameError:
        return None
    return pixels if pixels_sha256(pixels) == row["pred_sha256"] else None

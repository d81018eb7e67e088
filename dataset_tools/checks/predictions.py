"""Makes the predictions of a manifest again and checks them; whole originals are never overwritten."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc

from dataset_tools.checks.pixels import MAX_PREDICTION_DIFFERENCE, Check, Difference, block_difference, mean_difference
from dataset_tools.columns.file import ManifestFile
from dataset_tools.common.cores import num_cores
from dataset_tools.common.files import inside
from dataset_tools.common.progress import track
from dataset_tools.common.remote import Folder
from dataset_tools.errors import FrameError, VfiError
from dataset_tools.frames import Rgb, pixels_sha256, read_image
from dataset_tools.prediction.columns import COLUMNS, READ_COLUMNS
from dataset_tools.prediction.predictor import Row
from dataset_tools.prediction.ray_predictor import Engine

_COLUMNS = tuple(dict.fromkeys(("triplet_id", *READ_COLUMNS, *COLUMNS)))
_ROWS_AT_ONCE = 1 << 12


def rebuild_predictions(manifest: ManifestFile, *, out: Folder, engine: Engine) -> Check:
    """Predict every row again that has a prediction, from the frames under ``out``, and return the check.

    In the manifest's own folder, predictions that are there and have the manifest's hash stay as they are.
    """
    check = Check()
    is_home = out.resolve() == manifest.frames.resolve()
    with ThreadPoolExecutor(num_cores()) as pool, track("predictions", len(manifest)) as progress:
        for piece in manifest.batches(_COLUMNS, rows=_ROWS_AT_ONCE):
            rows = piece.filter(pc.is_valid(piece.column("pred"))).to_pylist()
            stays = list(pool.map(lambda row: is_home and _original(row, manifest.frames) is not None, rows))
            wanted = [row for row, is_kept in zip(rows, stays, strict=True) if _is_wanted(row, is_kept, engine, check)]
            for place, result in engine.predict(wanted, root=out):
                _judge(wanted[place], result, manifest.frames, out, check)
            progress.advance(len(piece))
    return check


def _is_wanted(row: Row, is_kept: bool, engine: Engine, check: Check) -> bool:
    if (row["predictor"], row["predictor_sha256"]) != (engine.name, engine.weights_sha256):
        check.faults.append(f"{row['pred']}: made by {row['predictor']}, not by this {engine.name}; see --predictor")
        return False
    check.num_equal += is_kept
    return not is_kept


def _judge(row: Row, result: dict[str, object] | VfiError, root: Folder, out: Folder, check: Check) -> None:
    if isinstance(result, VfiError):
        check.faults.append(f"{row['pred']}: {result}")
        return
    is_equal = result["pred_sha256"] == row["pred_sha256"]
    try:
        made = inside(out, str(result["pred"]))
        difference = None if is_equal else _difference(row, read_image(made), root)
    except FrameError as error:
        check.faults.append(f"{row['pred']}: {error}")
        return
    check.add(row["pred"], is_equal=is_equal, difference=difference, accepted=MAX_PREDICTION_DIFFERENCE)


def _difference(row: Row, made: Rgb, root: Folder) -> Difference | None:
    original = _original(row, root)
    if original is not None and original.shape == made.shape:
        return mean_difference(original, made)
    return block_difference(row["pred_fingerprint"], made)


def _original(row: Row, root: Folder) -> Rgb | None:
    """Return the prediction in the manifest's folder if it has the manifest's hash."""
    try:
        pixels = read_image(inside(root, row["pred"]))
    except FrameError:
        return None
    return pixels if pixels_sha256(pixels) == row["pred_sha256"] else None

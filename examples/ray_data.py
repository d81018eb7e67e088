"""Predict and assess rows in a Ray Data pipeline: python examples/ray_data.py data/data_manifest.parquet RUN OUT"""

import sys
from pathlib import Path

import pyarrow as pa
import ray

from dataset_tools.columns.file import open_manifest
from dataset_tools.prediction.columns import READ_COLUMNS
from dataset_tools.prediction.predictor import Predictor
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.inference.scoring import score_rows


class Assess:
    """An actor of the pipeline: adds RIFE's PSNR and the model's score, null where a frame cannot be read."""

    def __init__(self, run: Path, root: Path) -> None:
        self.predictor = Predictor("rife", device="cpu", num_threads=1)
        self.assessor, self.root = load_checkpoint(run, device="cpu"), root

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        made = dict(self.predictor.predict(rows, root=self.root))  # writes the image files, too
        psnr = [made[place]["pred_psnr"] if isinstance(made[place], dict) else None for place in range(len(rows))]
        scores = [score for score, _ in score_rows(self.assessor, rows, self.root)]
        batch = batch.append_column("psnr", pa.array(psnr, pa.float32()))
        return batch.append_column("score", pa.array(scores, pa.float32()))


manifest, run, out = (Path(argument).absolute() for argument in sys.argv[1:])
ray.init()  # on the cluster that RAY_ADDRESS names, if it does
actors = max(1, int(ray.cluster_resources()["CPU"]) - 1)  # reading and writing need a core, too
opened = open_manifest(manifest)
rows = ray.data.read_parquet([str(part) for part in opened.parts], columns=["triplet_id", *READ_COLUMNS])
rows = rows.map_batches(Assess, fn_constructor_args=(run, opened.frames), batch_format="pyarrow", concurrency=actors)
rows.select_columns(["triplet_id", "psnr", "score"]).write_parquet(str(out))

"""``RUN/report.html``: what a training did, in one file: curves, confusion, scatter, the worst errors with images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from dataset_tools.common.files import write_bytes
from dataset_tools.common.pages import data_url, render_page
from dataset_tools.frames import Rgb
from dataset_tools.frames.area import resize_area
from vfidpa_model.evaluation.charts import draw_confusion, draw_curve, draw_scatter, png_bytes
from vfidpa_model.evaluation.measures import Values, confusion, measure_all
from vfidpa_model.evaluation.report import LABELS
from vfidpa_model.evaluation.score_maps import pair_with_map
from vfidpa_model.evaluation.scoring import levels_of, score_samples
from vfidpa_model.inference.assessor import Assessor, load_checkpoint
from vfidpa_model.inference.checkpoint import flatten
from vfidpa_model.pairs.loading import FrameReader
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.training.run_log import read_records

REPORT_NAME = "report.html"
_NUM_WORST = 8
_PICTURE_WIDTH = 1080  # pixels, three frames side by side


def write_report(run: Path, samples: Sequence[Sample], *, device: torch.device) -> Path:
    """Write and return ``report.html`` of a run: its best checkpoint on ``samples``, of one split.

    Raises:
        CheckpointError: The run has no whole checkpoint.
    """
    assessor = load_checkpoint(run, device=device)
    reader = FrameReader(assessor.tier_height)
    scores = score_samples(assessor.assess, samples, reader=reader, device=device)
    levels = levels_of(samples)
    split = samples[0].split
    records = read_records(run)
    path = run / REPORT_NAME
    page = render_page(
        "vfidpa_model.training",
        "training_report.html.jinja",
        title=run.name,
        summary=_summary(assessor, split, len(samples)),
        measures={LABELS[name]: f"{value:.3f}" for name, value in measure_all(scores, levels).items()},
        curves=_chart(_curves(records)),
        judgement=_chart(_judgement(scores, levels)),
        worst=_worst(assessor, samples, scores, reader),
        settings=flatten(assessor.meta),
    )
    write_bytes(path, page.encode())
    return path


def _summary(assessor: Assessor, split: str, num_pairs: int) -> str:
    config = assessor.config
    return f"{config.backbone}, tier {config.tier}: the best checkpoint on the {num_pairs} pairs of split {split}."


def _curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    figure = Figure(figsize=(11, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    training = [record for record in records if record["kind"] == "train"]
    validation = [record for record in records if record["kind"] == "val"]
    draw_curve(left, training, "loss", title="Training loss", smooth=max(1, len(training) // 30))
    draw_curve(middle, validation, "mae", title="Validation MAE, levels")
    draw_curve(right, validation, "srcc", title="Validation SRCC")
    return figure


def _judgement(scores: Values, levels: Values) -> Figure:
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_confusion(left, confusion(scores, levels))
    draw_scatter(right, scores, levels)
    return figure


def _worst(assessor: Assessor, samples: Sequence[Sample], scores: Values, reader: FrameReader) -> list[dict[str, str]]:
    errors = np.abs(scores - levels_of(samples))
    pairs = []
    for index in np.argsort(-errors, kind="stable")[:_NUM_WORST]:
        sample = samples[index]
        picture, _ = pair_with_map(assessor.assess, *reader.pair(sample), device=assessor.device)
        caption = f"{sample.triplet_id}: level {sample.level:g}, score {scores[index]:.2f}"
        pairs.append({"picture": data_url(_jpeg(picture), kind="image/jpeg"), "caption": caption})
    return pairs


def _jpeg(rgb: Rgb) -> bytes:
    if rgb.shape[1] > _PICTURE_WIDTH:
        height = round(rgb.shape[0] * _PICTURE_WIDTH / rgb.shape[1])
        rgb = resize_area(rgb, width=_PICTURE_WIDTH, height=height)
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _chart(figure: Figure) -> str:
    return data_url(png_bytes(figure), kind="image/png")

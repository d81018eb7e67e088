"""``RUN/report.html``: what a training did, in one file: curves, confusion, scatter, the worst errors with images."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from dataset_tools.common.files import write_bytes
from dataset_tools.frames import Rgb, resize_area
from vfidpa_model.evaluation.charts import data_url, draw_confusion, draw_curve, draw_scatter, png_bytes
from vfidpa_model.evaluation.measures import Values, confusion, measure_all
from vfidpa_model.evaluation.report import LABELS
from vfidpa_model.evaluation.score_maps import pair_with_map
from vfidpa_model.evaluation.scoring import levels_of, score_samples
from vfidpa_model.inference.assessor import Assessor, load_checkpoint
from vfidpa_model.inference.checkpoint import flatten
from vfidpa_model.pairs.labels import Sample
from vfidpa_model.pairs.loading import FrameReader
from vfidpa_model.training.run_log import read_records

REPORT_NAME = "report.html"
_NUM_WORST = 8
_PICTURE_WIDTH = 1080  # pixels, three frames side by side

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { max-width: 100%; }
table { border-collapse: collapse; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
figure { margin: 1.2rem 0; } figcaption { color: #555; } code { background: #f3f3f3; }
"""


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
    parts = [
        f"<h1>{html.escape(run.name)}</h1>",
        f"<p>{html.escape(_summary(assessor, split, len(samples)))}</p>",
        _table({LABELS[name]: f"{value:.3f}" for name, value in measure_all(scores, levels).items()}),
        _figure(_curves(records), "Training loss (a running mean over the steps), validation error and correlation."),
        _figure(
            _judgement(scores, levels),
            "Counts of pairs; a point of the scatter is a pair, above the line it counts as hard.",
        ),
        "<h2>Worst errors</h2>",
        "<p>Left to right: img0, img1, the score map over their mean, blue at level 1 to red at level 4.</p>",
        *_worst(assessor, samples, scores, reader),
        "<h2>Settings</h2>",
        _table(flatten(assessor.meta)),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(run.name)}</title>'
    path = run / REPORT_NAME
    write_bytes(path, f"{page}<style>{_STYLE}</style>{''.join(parts)}</html>\n".encode())
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


def _worst(assessor: Assessor, samples: Sequence[Sample], scores: Values, reader: FrameReader) -> list[str]:
    errors = np.abs(scores - levels_of(samples))
    parts = []
    for index in np.argsort(-errors, kind="stable")[:_NUM_WORST]:
        sample = samples[index]
        picture, _ = pair_with_map(assessor.assess, *reader.pair(sample), device=assessor.device)
        caption = f"{sample.triplet_id}: level {sample.level:g}, score {scores[index]:.2f}"
        parts.append(_figure_tag(data_url(_jpeg(picture), kind="image/jpeg"), caption))
    return parts


def _jpeg(rgb: Rgb) -> bytes:
    if rgb.shape[1] > _PICTURE_WIDTH:
        height = round(rgb.shape[0] * _PICTURE_WIDTH / rgb.shape[1])
        rgb = resize_area(rgb, width=_PICTURE_WIDTH, height=height)
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _figure(figure: Figure, caption: str) -> str:
    return _figure_tag(data_url(png_bytes(figure)), caption)


def _figure_tag(url: str, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="{url}"><figcaption>{text}</figcaption></figure>'


def _table(values: Mapping[str, Any]) -> str:
    rows = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>"

"""Pictures inside the data card: histograms by matplotlib, and small copies of frames."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from dataset_tools.common.pages import data_url
from dataset_tools.common.remote import File
from dataset_tools.frames import RESOLUTION_HEIGHTS, read_image

_PANELS = (
    ("motion", "motion, pixels", True),
    ("inputs_lpips", "LPIPS of img0 and img1", False),
    ("pred_lpips", "LPIPS of the prediction", False),
    ("pred_psnr", "PSNR of the prediction, dB", False),
    ("pred_ssim", "SSIM of the prediction", False),
    ("interval", "interval, frames", False),
)
_COLOURS = {"256p": "#4477aa", "720p": "#ddaa33", "1080p": "#bb5566"}  # told apart by colour-blind people too
_THUMBNAIL_WIDTH = 320


def histograms(facts: pa.Table) -> str | None:
    """Return six histograms, stacked by resolution, as the data URL of an SVG; None when there is nothing to draw."""
    by_tier = {
        tier: facts.filter(pc.equal(facts.column("resolution").cast(pa.string()), tier)) for tier in RESOLUTION_HEIGHTS
    }
    tiers = [tier for tier, part in by_tier.items() if len(part)]
    if not tiers:
        return None
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (column, title, is_log) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        values = [by_tier[tier].column(column).drop_null().to_numpy() for tier in tiers]
        axes.set_title(title, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        if not any(map(len, values)):
            axes.text(0.5, 0.5, "not computed yet", ha="center", transform=axes.transAxes)
            continue
        edges = _edges(np.concatenate(values), is_log=is_log, is_count=column == "interval")
        axes.hist(values, bins=edges, stacked=True, color=[_COLOURS[tier] for tier in tiers], label=tiers)
        axes.set_xscale("symlog" if is_log else "linear")
        axes.yaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].set_ylabel("triplets")
    figure.axes[3].set_ylabel("triplets")
    handles, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return data_url(file.getvalue(), kind="image/svg+xml")


def thumbnail(path: File) -> str:
    """Return a small JPEG copy of an image file as a data URL.

    Raises:
        FrameError: The file is missing or damaged.
    """
    image = Image.fromarray(read_image(path))
    image.thumbnail((_THUMBNAIL_WIDTH, _THUMBNAIL_WIDTH))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return data_url(file.getvalue(), kind="image/jpeg")


def _edges(values: npt.NDArray[Any], *, is_log: bool, is_count: bool) -> list[float]:
    low, high = float(values.min()), float(values.max())
    if is_count:
        return [edge + 0.5 for edge in range(int(low) - 1, int(high) + 1)]
    if is_log:
        return [0, *(2.0 ** (exponent / 2) for exponent in range(-6, 17))]  # 0.125 to 256 pixels
    step = (high - low) / 20 or 0.01
    return [low + step * number for number in range(21)]

"""The log of a run: ``metrics.jsonl``, one record per line, and the same as TensorBoard scalars and pictures."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dataset_tools.common.files import write_bytes
from dataset_tools.common.json_lines import read_json_lines
from dataset_tools.frames import Rgb
from vfidpa_model.evaluation.measures import json_ready

METRICS_NAME = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


def read_records(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run in order; a line torn by a kill is left out."""
    return read_json_lines(run / METRICS_NAME)


class RunLog:
    """Appends records; one that starts at ``first_step`` drops what a killed run wrote beyond it.

    Only the first process of a distributed run writes: ``enabled`` is False in the others.
    """

    def __init__(self, run: Path, *, first_step: int, enabled: bool = True) -> None:
        self._enabled = enabled
        if not enabled:
            return
        kept = [record for record in read_records(run) if record["step"] <= first_step]
        write_bytes(run / METRICS_NAME, "".join(_line(record) for record in kept).encode())
        self._file = (run / METRICS_NAME).open("a", buffering=1)  # by line: each record is there when the next comes
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(run / TENSORBOARD_FOLDER), purge_step=first_step + 1)

    def record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append one record of ``kind`` (train, val) after ``step`` steps."""
        if not self._enabled:
            return
        self._file.write(_line({"kind": kind, "step": step, **values}))
        for name, value in values.items():
            if math.isfinite(value):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, rgb: Rgb) -> None:
        """Add a picture, uint8 (H, W, 3), to TensorBoard."""
        if self._enabled:
            self._board.add_image(name, rgb, step, dataformats="HWC")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._file.close()
            self._board.close()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(json_ready(record)) + "\n"

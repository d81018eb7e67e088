"""The log of a run: ``metrics.jsonl``, one record per line, and the same, with pictures, for a logger by name."""

import json
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from dataset_tools.common.extras import require
from dataset_tools.common.files import write_bytes
from dataset_tools.common.json_lines import read_json_lines
from dataset_tools.errors import UsageError
from dataset_tools.frames import Rgb
from vfidpa_model.evaluation.measures import json_ready

METRICS_NAME = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
WANDB_PROJECT = "vfi-difficulty"


class Board(Protocol):
    """Who is told beside ``metrics.jsonl``."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Take finite values by name, after ``step`` steps."""

    def picture(self, name: str, step: int, rgb: Rgb) -> None:
        """Take a picture, uint8 (H, W, 3)."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Scalars and pictures in ``RUN/tensorboard``; what a killed run wrote beyond ``first_step`` is purged."""

    def __init__(self, run: Path, *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / TENSORBOARD_FOLDER), purge_step=first_step + 1)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """See ``Board``."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, step: int, rgb: Rgb) -> None:
        """See ``Board``."""
        self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """See ``Board``."""
        self._writer.close()


class Wandb:
    """A run of Weights & Biases, of the run folder's name; wandb's own variables (``WANDB_MODE=offline``) hold."""

    def __init__(self, run: Path, *, settings: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it.

        Raises:
            UsageError: wandb is not installed, or begins no run: without a key, or without a network.
        """
        require("wandb")
        import wandb

        self._wandb = wandb
        chosen: dict[str, Any] = {"name": run.name, "dir": str(run), "config": dict(settings), "id": _run_id(run)}
        try:
            self._run = wandb.init(project=WANDB_PROJECT, resume="allow", **chosen)
        except wandb.Error as error:
            raise UsageError(f"--logger wandb: {error} Or set WANDB_MODE=offline, or take another --logger") from error

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """See ``Board``."""
        self._run.log(dict(values), step=step)

    def picture(self, name: str, step: int, rgb: Rgb) -> None:
        """See ``Board``."""
        self._run.log({name: self._wandb.Image(rgb)}, step=step)

    def close(self) -> None:
        """See ``Board``."""
        self._run.finish()


def _run_id(run: Path) -> str:
    """Return the id by which a resumed run goes on in Weights & Biases: kept in the run's folder."""
    path = run / "wandb_id.txt"
    if not path.exists():
        write_bytes(path, secrets.token_hex(8).encode())
    return path.read_text()


def create_board(logger: str, run: Path, *, first_step: int, settings: Mapping[str, Any]) -> Board | None:
    """Return the board called ``tensorboard`` or ``wandb``; None for ``none``.

    Raises:
        UsageError: wandb is not installed, or begins no run.
    """
    if logger == "tensorboard":
        return TensorBoard(run, first_step=first_step)
    return Wandb(run, settings=settings) if logger == "wandb" else None


def read_records(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run in order; a line torn by a kill is left out."""
    return read_json_lines(run / METRICS_NAME)


class RunLog:
    """Appends records; one that starts at ``first_step`` drops what a killed run wrote beyond it.

    Only the first process of a distributed run writes: ``enabled`` is False in the others.
    """

    def __init__(
        self,
        run: Path,
        *,
        first_step: int,
        enabled: bool = True,
        logger: str = "tensorboard",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._enabled = enabled
        if not enabled:
            return
        kept = [record for record in read_records(run) if record["step"] <= first_step]
        write_bytes(run / METRICS_NAME, "".join(_line(record) for record in kept).encode())
        self._file = (run / METRICS_NAME).open("a", buffering=1)  # by line: each record is there when the next comes
        self._board = create_board(logger, run, first_step=first_step, settings=settings or {})

    def record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append one record of ``kind`` (train, val) after ``step`` steps."""
        if not self._enabled:
            return
        self._file.write(_line({"kind": kind, "step": step, **values}))
        if self._board is not None:
            finite = {f"{kind}/{name}": value for name, value in values.items() if math.isfinite(value)}
            self._board.scalars(finite, step)

    def picture(self, name: str, step: int, rgb: Rgb) -> None:
        """Show a picture, uint8 (H, W, 3), on the board."""
        if self._enabled and self._board is not None:
            self._board.picture(name, step, rgb)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._file.close()
            if self._board is not None:
                self._board.close()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(json_ready(record)) + "\n"

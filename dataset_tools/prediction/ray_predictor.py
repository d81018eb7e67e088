"""Predictions on a Ray cluster: blocks of rows become tasks, and each process keeps the network for its next block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from dataset_tools.common.cluster import Cluster, LostError, as_typed, check_device
from dataset_tools.common.remote import Folder
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.prediction.predictor import Predictor, Row

_ROWS_PER_TASK = 16  # about a minute of one core at 720p: what a lost machine costs
_ROWS_PER_GPU_TASK = 128


class Engine(Protocol):
    """What predicts rows: ``Predictor`` here, ``RayPredictor`` on a cluster."""

    name: str
    weights_sha256: str
    role: str
    columns: tuple[str, ...]

    def predict(self, rows: Sequence[Row], *, root: Folder) -> Iterator[tuple[int, dict[str, Any] | VfiError]]:
        """Yield the position in ``rows`` and the new columns of each row; see ``Predictor.predict``."""
        ...


@dataclass(frozen=True)
class Making:
    """How a machine makes the predictor, and who it has to turn out to be.

    Attributes:
        name, weights, device, backend, role, num_threads: As ``Predictor`` takes them.
        made: Name and SHA-256 of the weights of the driver's predictor.
    """

    name: str
    weights: Path | None
    device: str
    backend: str
    role: str
    num_threads: int | None
    made: tuple[str, str]


class RayPredictor:
    """An interpolator and the metrics on all machines of a cluster.

    On CPUs each pair is computed by one thread, as in ``Predictor``: the bits do not depend on the number of machines,
    only on their kind of CPU. With GPUs in the cluster (and ``device`` not ``cpu``) each task has one for itself.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        weights: Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        role: str = "pred",
    ) -> None:
        """Load the interpolator here, to know its name; arguments as of ``Predictor``, a device's number aside.

        Raises:
            UsageError: As ``Predictor``; a device with a number, or ``cuda`` in a cluster without GPUs.
        """
        check_device(device)
        if device == "cuda" and not cluster.has_gpus:
            raise UsageError("--device cuda: no machine of the Ray cluster brings a GPU; use cpu")
        here = Predictor(name, weights=weights, device="cpu", backend=backend, role=role)
        self.name, self.weights_sha256 = here.name, here.weights_sha256
        self.role, self.columns = here.role, here.columns
        self._cluster = cluster
        self._on_gpu = device != "cpu" and cluster.has_gpus
        self._making = Making(
            name=name,
            weights=None if weights is None else weights.absolute(),
            device="cuda" if self._on_gpu else "cpu",
            backend=backend,
            role=role,
            num_threads=None if self._on_gpu else 1,  # a task on a CPU has one core
            made=(self.name, self.weights_sha256),
        )

    def predict(self, rows: Sequence[Row], *, root: Folder) -> Iterator[tuple[int, dict[str, Any] | VfiError]]:
        """Yield what ``Predictor.predict`` does, block by block as they are done.

        Raises:
            VfiError: A machine does not fit; see ``Cluster.run``.
        """
        size = _ROWS_PER_GPU_TASK if self._on_gpu else _ROWS_PER_TASK
        blocks = [range(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
        tasks = ((block, (self._making, [rows[place] for place in block], root.absolute())) for block in blocks)
        for block, results in self._cluster.run(predict_block, tasks, num_gpus=int(self._on_gpu)):
            if isinstance(results, LostError):
                yield from ((place, results) for place in block)
                continue
            for place, (values, failure) in zip(block, results, strict=True):
                yield place, VfiError(as_typed(failure, root)) if values is None else values


def open_predictor(cluster: Cluster | None, name: str, **options: Any) -> Engine:
    """Return the predictor that does the work: on the cluster where there is one, else on this machine."""
    return Predictor(name, **options) if cluster is None else RayPredictor(cluster, name, **options)


def predict_block(making: Making, rows: Sequence[Row], root: Folder) -> list[tuple[dict[str, Any] | None, str]]:
    """Predict rows on this machine; return for each its new columns, or ``None`` and why it could not be done.

    Raises:
        VfiError: The predictor is another one here than on the driver's machine.
    """
    engine = _engine(making)
    if (engine.name, engine.weights_sha256) != making.made:
        raise VfiError(f"a machine of the cluster has {engine.name} for {making.made[0]}; give --backend torch")
    results: list[tuple[dict[str, Any] | None, str]] = [(None, "not predicted")] * len(rows)
    for place, result in engine.predict(rows, root=root):
        results[place] = (None, str(result)) if isinstance(result, VfiError) else (result, "")
    return results


@lru_cache(maxsize=1)
def _engine(making: Making) -> Predictor:
    return Predictor(
        making.name,
        weights=making.weights,
        device=making.device,
        backend=making.backend,
        role=making.role,
        num_threads=making.num_threads,
    )

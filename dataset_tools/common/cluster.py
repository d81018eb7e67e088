"""Work on many machines: functions become tasks of a Ray cluster, with Ray's own placing, retries and object store."""

import os
import platform
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dataset_tools import __version__
from dataset_tools.common.extras import require
from dataset_tools.common.files import try_lock
from dataset_tools.common.remote import Folder
from dataset_tools.errors import UsageError, VfiError

Tag = TypeVar("Tag")
Result = TypeVar("Result")

RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on the machines of a Ray cluster: auto, HOST:PORT, ray://HOST:PORT from a machine outside it, or "
        "local for one started here (extra ray).",
    ),
]

_MAX_RETRIES = 16  # of a task whose machine was lost; an error of the task itself is not tried again
_AHEAD = 2  # tasks handed to Ray per core, so that none waits and a long list costs no memory
_ANSWER_SECONDS = 5.0
_LEAST_AHEAD = 16  # also on a small cluster: waiting tasks are what makes an autoscaler add machines
_WITNESS = ".ray-"  # how names of files begin that machines are to see
_DECIDES_PIXELS = ("av", "decord", "numpy", "opencv-python-headless", "pillow", "torch")


class LostError(VfiError):
    """A task was given up by Ray: each machine that took it was lost, or its process was ended."""


def software() -> dict[str, str]:
    """Return the versions of what decides about pixels and rows: the toolkit, and the libraries it computes with."""
    found = {"vfi-difficulty": __version__}
    for name in _DECIDES_PIXELS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def difference(here: dict[str, str], there: dict[str, str]) -> str | None:
    """Return which versions of another machine differ from the driver's, ``None`` when all are the same."""
    told = [
        f"{name} {there.get(name, 'none')} instead of {here[name]}" for name in here if there.get(name) != here[name]
    ]
    return ", ".join(told) or None


@dataclass(frozen=True)
class _Terms:
    """What must hold on a machine before it may work.

    Attributes:
        software: Of the driver.
        witness: A file or folder that the machine has to see; ``None`` where none is shared.
        folder: The shared one, for the message.
    """

    software: dict[str, str]
    witness: str | None
    folder: str

    def check(self, *, name: str) -> None:
        """Raise a ``VfiError`` when this machine may not work; ``name`` is its own."""
        if told := difference(self.software, software()):
            raise VfiError(f"machine {name} has {told}: pixels could differ; install the same versions on all machines")
        if self.witness and not os.path.exists(self.witness):
            raise VfiError(f"machine {name} does not see {self.folder}: it must be one shared folder, at the same path")


def _on_machine(function: Callable[..., Any], terms: _Terms, *arguments: Any) -> Any:
    terms.check(name=platform.node())
    return function(*arguments)


class Cluster:
    """A Ray cluster that this process has joined; see ``join_cluster``."""

    def __init__(self, ray: Any, witness: Path | None, folder: Path | None) -> None:
        self._ray = ray
        seen = None if witness is None else str(witness.absolute())
        self._terms = _Terms(software(), seen, "" if folder is None else str(folder.absolute()))

    @property
    def has_gpus(self) -> bool:
        """Whether any machine brings a GPU."""
        return bool(self._ray.cluster_resources().get("GPU"))

    def run(
        self,
        function: Callable[..., Result],
        jobs: Iterable[tuple[Tag, tuple[Any, ...]]],
        *,
        num_gpus: int = 0,
    ) -> Iterator[tuple[Tag, Result | LostError]]:
        """Call a function for every (tag, arguments) somewhere in the cluster; yield (tag, result) as they are done.

        A call whose machine is lost is repeated on another one, so it must give the same when it is repeated. What it
        keeps in its process (a network) is there for its next calls.

        Args:
            function: Of a module that the machines can import.
            num_gpus: Of one call, beside one core.

        Raises:
            VfiError: Raised by the function, or a machine does not fit: other versions, no shared folder.
        """
        ray = self._ray
        # A GPU's process would be ended after each call, and its network loaded again for the next one.
        task = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=_MAX_RETRIES, max_calls=0)(_on_machine)
        terms, called = ray.put(self._terms), ray.put(function)
        waiting: dict[Any, Tag] = {}
        source = iter(jobs)
        is_more = True
        try:
            while is_more or waiting:
                while is_more and len(waiting) < self._most_waiting(num_gpus):
                    item = next(source, None)
                    if item is None:
                        is_more = False
                    else:
                        waiting[task.remote(called, terms, *item[1])] = item[0]
                for done in ray.wait(list(waiting), num_returns=1)[0] if waiting else ():
                    yield waiting.pop(done), self._result(done)
        finally:
            for left in waiting:
                ray.cancel(left, force=True)

    def _most_waiting(self, num_gpus: int) -> int:
        there = self._ray.cluster_resources()  # again each time: machines come and go
        places = there.get("GPU", 0) / num_gpus if num_gpus else there.get("CPU", 0)
        return max(_LEAST_AHEAD, int(_AHEAD * places))

    def _result(self, done: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(done)
        except errors.RayTaskError as error:
            if isinstance(error.cause, VfiError):
                raise error.cause from None
            if isinstance(error.cause, ModuleNotFoundError):
                raise VfiError(
                    f"a machine of the cluster cannot import {error.cause.name}; install the toolkit there"
                ) from error
            raise
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
            errors.NodeDiedError,
        ) as error:
            return LostError(f"given up by the Ray cluster ({type(error).__name__})")


@contextmanager
def join_cluster(
    address: str | None, *, reads: Folder | None = None, writes_to: Folder | None = None
) -> Iterator[Cluster | None]:
    """Join a Ray cluster for the length of the block; ``None`` without an address. A connection that is there is used.

    Args:
        address: As ``--ray`` takes it.
        reads: Folder that each machine has to see before it may work; any one sees what lies at a URL.
        writes_to: Folder that machines write into: each has to see what the driver puts there.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """
    if address is None:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or a warning for every task without a GPU
    ray = require("ray")
    is_ours = not ray.is_initialized()
    if is_ours:
        check_answers(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(address, str(error).strip().partition("\n")[0]) from error
    try:
        shared, seen = (folder if isinstance(folder, Path) else None for folder in (writes_to, reads))
        with _witness(shared) as written:
            yield Cluster(ray, written or seen, shared or seen)
    finally:
        if is_ours:
            ray.shutdown()


@contextmanager
def _witness(folder: Path | None) -> Iterator[Path | None]:
    """Yield a new file for machines to look for; those that killed runs have left behind go.

    Each is locked by its run as long as that lives, on whatever machine. Where a folder knows no locks, none goes.
    """
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_WITNESS}{secrets.token_hex(8)}"
    file = path.open("wb")
    try:
        while not (try_lock(file.fileno()) and path.exists()):  # another run took it for a dead one's meanwhile
            file.close()
            file = path.open("wb")
        if _is_locked(path):
            for other in folder.glob(f"{_WITNESS}*"):
                if not _is_locked(other):
                    other.unlink(missing_ok=True)
        yield path
    finally:
        file.close()
        path.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not try_lock(file.fileno())
    except OSError:  # its run has ended, or another user's
        return True


def check_answers(address: str) -> None:
    """Find out at once that nobody listens at ``HOST:PORT`` or ``ray://HOST:PORT``: Ray itself would try for minutes.

    Raises:
        UsageError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, said: str) -> UsageError:
    return UsageError(
        f"--ray {address}: no Ray cluster answers there ({said}); start one by ray start --head, or take local"
    )


def as_typed(message: str, *paths: Folder) -> str:
    """Return a message of another machine with paths as they were typed here: machines are told absolute ones."""
    for path in paths:
        message = message.replace(str(path.absolute()), str(path))
    return message


def check_device(device: str) -> None:
    """Refuse a numbered device beside a cluster, where each task gets whichever GPU is free.

    Raises:
        UsageError: The name is not one of three.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device} must be auto, cpu or cuda with --ray: Ray deals the GPUs out")


def check_workers(workers: int, ray: str | None) -> None:
    """Refuse a number of processes beside a cluster, which has as many as its machines have cores.

    Raises:
        UsageError: Both are given.
    """
    if workers and ray is not None:
        raise UsageError(f"--workers {workers} does not go with --ray: a cluster works on all the cores it has")

"""The hidden folder beside an output that holds its finished pieces until the output is whole.

Pieces survive every error and every end of a run: the same command goes on with them. Only a finished output, or
``--restart``, removes them.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dataset_tools.common.files import try_lock, write_json
from dataset_tools.errors import VideoError

_LONGEST_NAME = 255  # bytes; of every usual file system


class WorkFolder:
    """The pieces of one output, locked while one run makes it. Use it in a ``with`` block.

    Attributes:
        path: The folder.
    """

    def __init__(self, output: Path) -> None:
        """Name the folder that belongs to ``output``; nothing is written yet.

        Raises:
            VideoError: The name is too long for a folder of that name beside it.
        """
        name = f".{output.name}.parts"
        excess = len(os.fsencode(name)) - _LONGEST_NAME
        if excess > 0:
            raise VideoError(f"output name {output.name} is {excess} bytes too long; choose a shorter one")
        self.path = output.parent / name
        self._made: list[Path] = []
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Create and lock the folder.

        Raises:
            VideoError: Another run is making this output.
        """
        self._made = [folder for folder in self.path.parents if not folder.exists()]
        self._take_lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None and not self.count():
            self.remove()  # nothing was finished that could be gone on with
        self._unlock()

    def prepare(self, job: dict[str, Any], *, restart: bool) -> int:
        """Return how many pieces of the same job are already whole; any others are removed.

        Args:
            job: Everything that decides what the pieces look like, by the name of its option.
            restart: Remove the pieces of an earlier run.

        Raises:
            VideoError: The pieces there belong to another job.
        """
        note = self.path / "job.json"
        if restart:
            self._empty()
        if note.exists() and self.count():
            before = json.loads(note.read_text(encoding="utf-8"))
            if before != job:
                raise VideoError(
                    f"cannot go on with the finished pieces in {self.path}: {_differences(before, job)}; give the same "
                    "options again, or --restart to remove the pieces and begin anew"
                )
            return self.count()
        self._empty()
        write_json(note, job)
        return 0

    def count(self) -> int:
        """Return how many pieces are whole, counted from the first one."""
        return next(index for index in range(1 << 30) if not self.piece(index).exists())

    def piece(self, index: int) -> Path:
        """Return the path of a piece."""
        return self.path / f"{index:06d}.packets"

    def write_record(self, index: int, record: dict[str, Any]) -> None:
        """Keep what is to be told about a piece; call it before the piece is written."""
        write_json(self.path / f"{index:06d}.json", record)

    def records(self) -> list[dict[str, Any]]:
        """Return what was kept about each finished piece, in order."""
        paths = [self.path / f"{index:06d}.json" for index in range(self.count())]
        return [json.loads(path.read_text(encoding="utf-8")) if path.exists() else {} for path in paths]

    def remove(self) -> None:
        """Remove the folder and all in it, and the folders made for it that hold nothing else."""
        if os.name != "posix":  # elsewhere an open file cannot be removed
            self._unlock()
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()
        for folder in self._made:
            with contextlib.suppress(OSError):  # it holds the output
                folder.rmdir()

    def _take_lock(self) -> None:
        while self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self.path / "lock"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            if not try_lock(descriptor):
                os.close(descriptor)
                raise VideoError(
                    f"another run is making this output (its pieces are in {self.path}); wait for it, or name OUT "
                    "otherwise"
                )
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                self._lock = descriptor
            else:  # the run that held it has just finished and removed the folder
                os.close(descriptor)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.name != "lock":
                path.unlink()


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words what has changed, e.g. ``"--factor was 2 and is 3"``."""
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} was {_show(before.get(name))} and is {_show(now.get(name))}" for name in names)


def _show(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "not given" if value is None else str(value)

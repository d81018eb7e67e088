"""One piece of work at a time, in a thread of its own, with progress and a way to end it."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from dataset_tools.errors import UsageError, VfiError


class CancelledError(VfiError):
    """The user ended the work."""


@dataclass
class Task:
    """A piece of work, as far as it has got.

    Attributes:
        name: What is done, in words.
        share: Of the work that is done, 0 to 1; ``None`` where nobody knows.
        words: What is to be said beside it.
        notes: What the output will not have of the input, a sentence at a time.
        error: Why it ended early, one line; empty when it did not.
    """

    name: str
    share: float | None = None
    words: str = ""
    notes: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0
    is_done: bool = False
    is_cancelled: bool = False

    def report(self, share: float | None, words: str) -> None:
        """Tell how far the work is.

        Raises:
            CancelledError: The user wants it to end.
        """
        if self.is_cancelled:
            raise CancelledError(f"{self.name}: cancelled")
        self.share, self.words = share, words


class Worker:
    """Runs one task at a time.

    Attributes:
        task: The one that runs or ran last.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.task: Task | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task runs."""
        return self.task is not None and not self.task.is_done

    def start(self, name: str, work: Callable[[Task], None]) -> None:
        """Begin a task.

        Raises:
            UsageError: Another one runs.
        """
        with self._lock:
            if self.task is not None and self.is_busy:
                raise UsageError(f"one run at a time: wait for “{self.task.name}”, or cancel it")
            self.task = Task(name)
            self._thread = threading.Thread(target=self._run, args=(self.task, work), daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        """Let the task end at its next report."""
        if self.task is not None:
            self.task.is_cancelled = True

    def close(self) -> None:
        """End the task and wait for it."""
        self.cancel()
        if self._thread is not None:
            self._thread.join()

    def _run(self, task: Task, work: Callable[[Task], None]) -> None:
        started = self._clock()
        try:
            work(task)
        except (VfiError, OSError) as error:
            task.error = one_line(error)
        except Exception as error:  # a fault of ours: the page lives on, the terminal has the whole of it
            traceback.print_exc(file=sys.stderr)
            task.error = f"{type(error).__name__}: {one_line(error)} (more in the terminal)"
        finally:
            task.seconds = self._clock() - started
            task.is_done = True


def one_line(error: Exception) -> str:
    """Return an error's message as one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())

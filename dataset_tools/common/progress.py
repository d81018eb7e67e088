"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere. Always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

_PLAIN_EVERY_SECONDS = 5.0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class Progress:
    """Counts finished items; ``note`` adds a few words, such as the number of rejections."""

    def __init__(self, label: str, total: int | None, show: Callable[["Progress"], None], *, done: int = 0) -> None:
        self.label, self.total, self._show = label, total, show
        self.done = self.before = done
        self.note = ""

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Count ``count`` more items as done."""
        self.done += count
        self.note = self.note if note is None else note
        self._show(self)


@contextmanager
def track(
    label: str, total: int | None, *, done: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Yield a ``Progress`` that shows itself on stderr with rate and time left until the block ends.

    Args:
        done: Items of ``total`` that an earlier run finished; rate and time left are those of this one.
    """
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn())
        with RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, completed=done)
            yield Progress(
                label,
                total,
                lambda state: bar.update(task, completed=state.done, description=f"{label} {state.note}".strip()),
                done=done,
            )
        return
    started = clock()
    last_shown = started

    def show(state: Progress, *, final: bool = False) -> None:
        nonlocal last_shown
        now = clock()
        if final or now - last_shown >= _PLAIN_EVERY_SECONDS:
            last_shown = now
            print(_plain_line(state, elapsed_seconds=now - started), file=sys.stderr, flush=True)

    progress = Progress(label, total, show, done=done)
    try:
        yield progress
    finally:
        show(progress, final=True)


def _plain_line(state: Progress, *, elapsed_seconds: float) -> str:
    rate = (state.done - state.before) / elapsed_seconds if elapsed_seconds > 0 else 0.0
    of_total = f" of {state.total}" if state.total is not None else ""
    left = ""
    if state.total is not None and 0 < state.done < state.total and rate > 0:
        left = f", {(state.total - state.done) / rate:.0f} s left"
    note = f", {state.note}" if state.note else ""
    return f"{state.label}: {state.done}{of_total}, {rate:.1f}/s{left}{note}"

"""Keeping this process at its usual priority: an encoder that runs as root makes itself and its caller real-time."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def usual_priority() -> Iterator[None]:
    """Give threads that became real-time in the block the scheduling that its caller had before (Linux).

    SVT-AV1, opened by root (as in most containers), sets the calling thread and its own to SCHED_FIFO at the highest
    priority. From then on every thread and process that the caller starts has it, too, and two that compute leave
    nothing of a machine with two cores to anybody else.
    """
    if not _TASKS.is_dir():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(thread, policy, parameters)


def _real_time() -> set[int]:
    """Return the threads of this process that run before all usual ones."""
    found = set()
    for thread in (int(entry.name) for entry in _TASKS.iterdir()):
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(thread)
    return found

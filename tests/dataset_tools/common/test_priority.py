"""An encoder that makes itself and its caller real-time: both are usual again afterwards (Linux, as root)."""

import os
import threading
from pathlib import Path

import pytest

from dataset_tools.common.priority import usual_priority
from tests.dataset_tools.tricky_clips import write_clip

TASKS = Path("/proc/self/task")


@pytest.fixture
def threads():
    """Return a count of this process's real-time threads; elsewhere than on Linux it is 0."""

    def count():
        tasks = [int(entry.name) for entry in TASKS.iterdir()] if TASKS.is_dir() else []
        return sum(os.sched_getscheduler(task) != os.SCHED_OTHER for task in tasks)

    assert count() == 0  # another test left one
    return count


def test_threads_that_became_real_time_are_usual_again(threads):
    stop, started = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (started.set(), stop.wait()))
    with usual_priority():
        if TASKS.is_dir() and os.geteuid() == 0:  # nobody else may
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
        thread.start()  # has its starter's priority
        started.wait()
        assert threads() == (2 if os.geteuid() == 0 and TASKS.is_dir() else 0)
    assert threads() == 0
    stop.set()


def test_an_av1_file_leaves_no_thread_real_time(threads, tmp_path):
    write_clip(tmp_path / "av1.mp4", codec="libsvtav1", options={"preset": "12"}, numbers=range(3))
    assert threads() == 0

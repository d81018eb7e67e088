"""One piece of work at a time, which can be ended and whose errors are one line."""

import threading

import pytest

from dataset_tools.errors import UsageError, VideoError
from vfidpa_model.studio_page.tasks import Task, Worker


def done(worker: Worker) -> Task:
    worker._thread.join(10)
    assert worker.task is not None
    assert worker.task.is_done
    return worker.task


def test_a_second_run_is_refused_and_the_first_can_be_cancelled():
    worker, going = Worker(), threading.Event()

    def work(task: Task) -> None:
        while True:
            task.report(0.5, "half")
            going.set()

    worker.start("first", work)
    assert going.wait(10)
    with pytest.raises(UsageError, match="one run at a time: wait for “first”, or cancel it"):
        worker.start("second", work)
    worker.cancel()
    assert done(worker).error == "first: cancelled"
    worker.start("second", lambda task: task.report(1.0, "all"))
    assert done(worker).error == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (VideoError("clip a.mp4:\n  no"), "clip a.mp4: no"),
        (FileNotFoundError(2, "No such file", "a.mp4"), "a.mp4: No such file"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0 (more in the terminal)"),
    ],
)
def test_an_error_is_one_line(error, said):
    def work(task: Task) -> None:
        raise error

    worker = Worker()
    worker.start("it", work)
    assert done(worker).error == said

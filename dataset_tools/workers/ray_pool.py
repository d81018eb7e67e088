"""The same jobs on a Ray cluster: each is a task that asks a worker process of its machine, as the pool does here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, TypeVar

from dataset_tools.common.cluster import Cluster, LostError, as_typed
from dataset_tools.common.cores import num_cores
from dataset_tools.common.remote import Folder
from dataset_tools.workers.messages import Answer, ExtractJob, Job, RebuildJob, answer_from_json, job_from_json, to_json
from dataset_tools.workers.pool import WorkerPool

Tag = TypeVar("Tag")


class Pool(Protocol):
    """Does jobs on clips: ``WorkerPool`` here, ``RayPool`` on a cluster."""

    def run(self, jobs: Iterable[tuple[Tag, Job]]) -> Iterator[tuple[Tag, Answer]]:
        """Yield (tag, answer) of every (tag, job), in the order they are done."""
        ...


class RayPool:
    """Hands jobs to a cluster. A decoder that hangs or dies gives the answer it would give here; lost machines none."""

    def __init__(self, cluster: Cluster, *, silence_seconds: float) -> None:
        """Prepare a pool; ``silence_seconds`` is that of ``WorkerPool``."""
        self._cluster = cluster
        self._silence_seconds = silence_seconds

    def run(self, jobs: Iterable[tuple[Tag, Job]]) -> Iterator[tuple[Tag, Answer]]:
        """Yield (tag, answer) of every (tag, job), in the order they are done.

        Raises:
            VfiError: A machine does not fit; see ``Cluster.run``.
        """
        tasks = (((tag, job), (to_json(_absolute(job)), self._silence_seconds)) for tag, job in jobs)
        for (tag, job), line in self._cluster.run(answer_line, tasks):
            if isinstance(line, LostError):
                yield tag, Answer("crash", message=str(line))
            else:
                answer = answer_from_json(line)
                yield tag, replace(answer, message=as_typed(answer.message, job.clip.path, *_folders(job)))


@contextmanager
def open_pool(num_workers: int, *, silence_seconds: float, cluster: Cluster | None) -> Iterator[Pool]:
    """Yield the pool that does the jobs: on a cluster if there is one, else ``num_workers`` processes (0: per core)."""
    if cluster is not None:
        yield RayPool(cluster, silence_seconds=silence_seconds)
        return
    with WorkerPool(num_workers or num_cores(), silence_seconds=silence_seconds) as pool:
        yield pool


def answer_line(line: str, silence_seconds: float) -> str:
    """Do a job on this machine, in a process of its own; job and answer are lines of JSON."""
    return to_json(_pool(silence_seconds).answer(job_from_json(line)))


@lru_cache(maxsize=1)
def _pool(silence_seconds: float) -> WorkerPool:
    return WorkerPool(1, silence_seconds=silence_seconds)  # its process ends with this one, when its input does


def _folders(job: Job) -> list[Folder]:
    return [getattr(job, name) for name in ("out", "originals") if hasattr(job, name)]


def _absolute(job: Job) -> Job:
    """Return a job that means the same wherever a process was started."""
    job = replace(job, clip=replace(job.clip, path=job.clip.path.absolute()))
    if isinstance(job, ExtractJob):
        return replace(job, out=job.out.absolute())
    if isinstance(job, RebuildJob):
        return replace(job, out=job.out.absolute(), originals=job.originals.absolute())
    return job

"""``python -m vfidpa_model.train`` as a process that starts at once: forked from one that has the libraries loaded."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# Importing PyTorch and its kin takes as long as all steps of a test's training.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch.utils.tensorboard", "vfidpa_model.training.report", "vfidpa_model.training.session"]
)


def start_training(
    arguments: Sequence[str], *, errors: Path, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start the command and return its process, for the caller to end; it writes to ``errors`` what it says."""
    process = _CONTEXT.Process(target=_train, args=(list(arguments), errors, dict(environment or {})))
    process.start()
    return process


def _train(arguments: list[str], errors: Path, environment: dict[str, str]) -> None:
    import torch

    from vfidpa_model.train import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    with errors.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.exit(main(arguments))

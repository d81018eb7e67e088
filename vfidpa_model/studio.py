"""python -m vfidpa_model.studio: a page for raising the frame rate of a video, on this machine only."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.common.cli import run
from dataset_tools.common.extras import require

_PROG = "python -m vfidpa_model.studio"


def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 7861,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Serve a page on this machine: look at a video, try five seconds side by side, then interpolate it all.

    It prints an address with a key; nobody else is let in. What is made lies in a temporary folder (of TMPDIR) until
    it is downloaded, and is removed when the command ends.

    Example: python -m vfidpa_model.studio --port 8000
    """
    with tempfile.TemporaryDirectory(prefix="vfi-studio-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")  # read when Gradio is imported
        require("gradio", extra="studio")
        from vfidpa_model.studio_page.server import serve

        serve(Path(folder), port=port, device=device)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(studio, argv, prog=_PROG, interrupted="ended")


if __name__ == "__main__":
    sys.exit(main())

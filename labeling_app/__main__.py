"""``python -m labeling_app``: serve the labelling bench, and take votes and figures out of it."""

import sys
from collections.abc import Sequence

from dataset_tools.common import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run_module("labeling_app.commands.serve", argv, prog="python -m labeling_app")


if __name__ == "__main__":
    sys.exit(main())

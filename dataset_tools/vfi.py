"""``vfi``: every command under one name, each imported when it is called.

    vfi extract --source videos:clips --out data --count 600      is python -m dataset_tools.extract ...
    vfi label export --manifest data/data_manifest.parquet        is python -m labeling_app export ...

Two packages have a ``predict`` and an ``export``: here the data set's keep these names, the model's are ``assess``
and ``export-model``. The upper packages are named, not imported, so that the ground floor stands without them.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

from dataset_tools import __version__
from dataset_tools.common import cli

PROG = "vfi"


class Command(NamedTuple):
    """Where a subcommand lives.

    Attributes:
        module: What ``python -m`` would be given; its ``main`` runs it.
        target: ``module:name`` of its function or application, for completing its options in a shell.
        help: One line for ``vfi --help``.
    """

    module: str
    target: str
    help: str


def _command(module: str, function: str, text: str) -> Command:
    return Command(module, f"{module}:{function}", text)


COMMANDS = {
    "extract": _command("dataset_tools.extract", "extract", "Clips to triplets, predictions and a manifest."),
    "predict": _command("dataset_tools.predict", "predict", "Predictions and metrics of a manifest, again."),
    "verify": _command("dataset_tools.verify", "verify", "Is a data set whole, readable and free of leaks?"),
    "report": _command("dataset_tools.report", "report", "The data card of a data set, one HTML page."),
    "materialize": _command("dataset_tools.materialize", "materialize", "Rebuild a data set's frames from its clips."),
    "export": _command("dataset_tools.export", "export", "A data set for others: recipe, Hugging Face, WebDataset."),
    "filter": _command("dataset_tools.filter", "filter_rows", "The rows that fit an SQL expression, as a data set."),
    "merge": _command("dataset_tools.merge", "merge", "Several data sets as one, votes kept."),
    "relocate": _command("dataset_tools.relocate", "relocate", "Put image files into an object store or a folder."),
    "resplit": _command("dataset_tools.resplit", "resplit", "Put every recording into one split."),
    "drop": _command("dataset_tools.drop", "drop", "Take rows out of a manifest."),
    "assets": _command("dataset_tools.assets", "fetch_command", "Fetch pinned weights and demo clips."),
    "label": Command(
        "labeling_app.__main__", "labeling_app.commands.serve:app", "The labelling page, its users and its votes."
    ),
    "train": _command("vfidpa_model.train", "train_command", "Train VFI-DPA on a labelled manifest."),
    "evaluate": _command("vfidpa_model.evaluate", "evaluate_command", "A model beside baselines and people."),
    "ablate": _command("vfidpa_model.ablate", "ablate_command", "The paper's table of parts, on any manifest."),
    "assess": _command("vfidpa_model.predict", "predict", "Difficulty of a frame pair, or of a manifest's pairs."),
    "export-model": _command("vfidpa_model.export", "export", "A model as ONNX, OpenVINO or torch.export file."),
    "calibrate": _command("vfidpa_model.calibration", "command", "The threshold that meets a goal of cost or quality."),
    "benchmark": _command(
        "vfidpa_model.benchmark", "benchmark", "Interpolators and the dynamic pipeline on test sets."
    ),
    "interpolate": _command("vfidpa_model.interpolate", "interpolate", "Raise the frame rate of a video file."),
    "studio": _command("vfidpa_model.studio", "studio", "The same on a page, in a browser on this machine."),
}


class _LazyGroup(TyperGroup):
    """Lists the commands by the table's lines, and imports one only to complete its options."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        module, _, attribute = COMMANDS[str(name)].target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            alone = cli.new_app()
            alone.command()(found)
            found = alone
        return name, get_command(found), rest


def _new_app() -> typer.Typer:
    app = typer.Typer(cls=_LazyGroup, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
    app.callback()(vfi)
    for name, command in COMMANDS.items():
        app.command(name, help=command.help)(lambda: None)
    return app


def vfi(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Find out which frame pairs need an accurate video frame interpolator, and spend it only there.

    "vfi COMMAND --help" tells a command's options. Each is "python -m" of a module as well.

    Example: vfi interpolate in.mp4 out.mp4 --factor 2
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(__version__)
        return cli.OK
    is_completing = f"_{PROG.upper()}_COMPLETE" in os.environ
    if not is_completing and words and words[0] in COMMANDS:
        command = COMMANDS[words[0]]
        typed = f"{PROG} {words[0]}"
        with cli.shown_as(typed):
            return cli.run_module(command.module, words[1:], prog=typed)
    return cli.run(_new_app(), words, prog=PROG)


if __name__ == "__main__":
    sys.exit(main())

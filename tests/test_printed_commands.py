"""Every command that the README and the guides print exists and takes the options that it is printed with."""

import contextlib
import importlib
import io
import itertools
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from dataset_tools import vfi
from tests.architecture import PACKAGES

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
_COMMAND = re.compile(r"(?:\bvfi|python -m|python)\s+[a-z][\w./-]*[^`\n|#:]*")


def printed_commands():
    """Return {command: {(page, line)}}; a command is what has a help of its own, like ("labeling_app", "export")."""
    found = defaultdict(set)
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for printed in re.findall(r"^ {4}.*$|`[^`\n]+`", text, flags=re.MULTILINE):
            for line in _COMMAND.findall(printed):
                if command := _command(line.split()):
                    found[command].add((page.name, " ".join(line.split())))
    return found


def _command(words):
    if words[0] == "vfi":
        name, rest = words[1], words[2:]
        module = vfi.COMMANDS[name].module if name in vfi.COMMANDS else f"unknown vfi command {name}"
    else:
        module, rest = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
    if module.split(".")[0] not in (*PACKAGES, "benchmarks", "tests") and not module.startswith("benchmarks/"):
        return None  # pip, pytest
    if module.removesuffix(".__main__") != "labeling_app":
        return (module,)
    return ("labeling_app.__main__", *itertools.takewhile(re.compile(r"[a-z-]+").fullmatch, rest))


@cache
def help_of(command):
    """Return the help of a command, or the text of a benchmark's file."""
    module, *subcommands = command
    if module.startswith(("benchmarks", "tests")):
        return (ROOT / f"{module.removesuffix('.py').replace('.', '/')}.py").read_text(encoding="utf-8")
    main = importlib.import_module(module).main
    while True:
        with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.redirect_stderr(io.StringIO()):
            if main([*subcommands, "--help"]) == 0 or not subcommands:
                return shown.getvalue()
        subcommands.pop()  # of "users add anna" anna is no command


def test_printed_commands_take_the_options_they_are_given():
    commands = printed_commands()
    assert {("dataset_tools.extract",), ("vfidpa_model.interpolate",), ("labeling_app.__main__",)} <= commands.keys()
    lost = [
        f"{page}: {line}: {option}"
        for command, lines in commands.items()
        for page, line in lines
        for option in re.findall(r"--[a-z][a-z0-9-]*", line)
        if not re.search(rf"{option}\b", help_of(command))
    ]
    assert not lost

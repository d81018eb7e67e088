"""The toolkit as a newcomer meets it: every command explains itself, no file is long or heavy."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from dataset_tools import vfi

ROOT = Path(__file__).parents[1]
PACKAGES = ("dataset_tools", "labeling_app", "vfidpa_model")
COMMANDS = sorted(command.module for command in vfi.COMMANDS.values())


def test_every_module_that_is_a_command_is_in_the_table_of_vfi():
    runnable = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if 'if __name__ == "__main__"' in path.read_text()
    }
    assert set(COMMANDS) == runnable - {"dataset_tools.vfi", "dataset_tools.workers.process"}


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_has_help_with_an_example(module, capsys):
    main = importlib.import_module(module).main
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "xample" in shown
    assert f"python -m {module.removesuffix('.__main__')}" in shown
    without_help = [line for line in shown.splitlines() if re.fullmatch(r"\s+--[a-z0-9-]+( [A-Z]+)?\s*", line)]
    assert not without_help, f"options without help: {without_help}"


@pytest.mark.parametrize("module", COMMANDS)
def test_an_unknown_option_is_wrong_usage(module, capsys):
    assert importlib.import_module(module).main(["--no-such-option"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def _names_in(module: str) -> set[str]:
    """Return the names that a module binds, and its submodules, without importing it."""
    path = ROOT / module.replace(".", "/")
    names = {child.stem for child in path.glob("*")}
    for node in ast.walk(ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def test_what_benchmarks_import_is_there():
    """They are run by hand: nothing else would tell that a function has moved."""
    missing = []
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in (*PACKAGES, "tests"):
                names = {alias.name for alias in node.names} - _names_in(str(node.module))
                missing += [f"{path.name}: {node.module}.{name}" for name in sorted(names)]
    assert not missing


def _tracked_files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [Path(line) for line in listed.stdout.splitlines()]


LARGEST = {Path("vfidpa_model/pretrained/light/model.safetensors"): 8_000_000}  # the weights that come with it


def test_no_file_is_long_or_heavy():
    for path in _tracked_files():
        assert (ROOT / path).stat().st_size < LARGEST.get(path, 1_000_000), f"{path} is too large for the repository"
        if path.suffix == ".py":
            assert len((ROOT / path).read_text().splitlines()) <= 400, f"{path} is longer than 400 lines"

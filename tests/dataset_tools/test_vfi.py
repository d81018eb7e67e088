"""The command ``vfi``: complete, quick, and each subcommand the same as its module."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from dataset_tools.vfi import COMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_command_as_it_was_typed(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: vfi {name} " in shown
    assert f"python -m {COMMANDS[name].module.removesuffix('.__main__')} " not in shown
    assert f"vfi {name} " in shown.partition("xample")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_errors_are_those_of_the_module(name, capsys):
    module, typed = COMMANDS[name].module, f"vfi {name}"
    assert main([name, "--no-such-option"]) == import_module(module).main(["--no-such-option"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{typed}: ")
    assert second == first.replace(typed, f"python -m {module.removesuffix('.__main__')}", 1)


def test_wrong_words_are_wrong_usage(capsys):
    assert main(["extrakt"]) == 2
    assert re.match(r"vfi: No such command .extrakt.", capsys.readouterr().err)
    assert main([]) in (0, 2)  # 2 since Click 8.2
    assert "interpolate" in "".join(capsys.readouterr())


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out.strip() == declared["version"]
    assert declared["scripts"]["vfi"] == "dataset_tools.vfi:main"


def test_help_imports_no_heavy_package():
    program = (
        "import sys; from dataset_tools.vfi import main; main(['--help']);"
        "print([name for name in ('torch', 'numpy', 'pandas', 'gradio', 'sqlalchemy', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_command_imports_pytorch_before_it_computes():
    """It takes two seconds: wrong usage, and what computes nothing, must not wait for it."""
    modules = [command.module for command in COMMANDS.values()]
    program = f"import sys, importlib\nfor name in {modules}:\n    importlib.import_module(name)\n"
    program += "    assert 'torch' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vfi inter", ["interpolate"]),
        ("vfi export", ["export", "export-model"]),
        ("vfi extract --resol", ["--resolutions"]),
        ("vfi interpolate --accurate-w", ["--accurate-weights"]),
        ("vfi label exp", ["export"]),
        ("vfi label users ad", ["add"]),
        ("vfi train --backb", ["--backbone"]),
    ],
)
def test_a_shell_completes_commands_and_options(words, expected, monkeypatch, capsys):
    monkeypatch.setenv("_VFI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit, match="0"):
        main([])
    assert capsys.readouterr().out.split() == expected

"""The documentation as a reader meets it: nothing that a page lists may be missing or made up."""

import re
import subprocess
from pathlib import Path

import pytest

from dataset_tools import manifest
from tests import architecture

ROOT = Path(__file__).parents[1]


def _first_cells(page: str, heading: str) -> list[str]:
    """Return the names in backquotes in the first column of the table below a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_data_set_page_explains_every_column():
    listed = _first_cells("data_set.md", "The manifest")
    assert sorted(listed) == sorted(manifest.SCHEMA.names)


def _tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [Path(line) for line in listed.stdout.splitlines()]


@pytest.mark.parametrize("package", architecture.PACKAGES)
def test_the_architecture_page_has_every_room_and_every_file_on_top(package):
    page = architecture.PAGE.read_text(encoding="utf-8")
    lines = dict(re.findall(rf"^\| `({package}/[^`]+)` \| (.*) \|$", page, flags=re.MULTILINE))
    files = [path for path in _tracked_files() if path.parts[0] == package and path.name != "__init__.py"]
    on_top = {path.as_posix() for path in files if len(path.parts) == 2 and path.suffix == ".py"}
    rooms = {f"{package}/{path.parts[1]}/" for path in files if len(path.parts) > 2}
    assert on_top | rooms <= lines.keys()
    assert all((ROOT / path).exists() for path in lines)
    assert all(lines.values()), "every room and every file on top says in its docstring what it is"


def test_the_architecture_page_is_up_to_date():
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page(), "run: python -m tests.architecture"

"""The documentation as a reader meets it: nothing that a page lists may be missing or made up."""

import re
import subprocess
from pathlib import Path

import pytest

from dataset_tools import __version__, manifest
from tests import architecture

ROOT = Path(__file__).parents[1]


def test_the_data_set_page_explains_every_column():
    text = (ROOT / "docs" / "data_set.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    explained = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert set(manifest.SCHEMA.names) <= explained
    of_the_manifest = text.split("## The manifest\n")[1].split("\n## ")[0]
    listed = {
        name for cell in re.findall(r"^\| (`.*?) \|", of_the_manifest, re.MULTILINE) for name in cell.split("`")[1::2]
    }
    assert listed <= set(manifest.SCHEMA.names)


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


def _where_is_what() -> list[tuple[str, str, str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where is what\n")[1]
    return re.findall(r"^\| (.+) \| `(.+)` \| `(.+)` \|$", text, flags=re.MULTILINE)


def test_a_stranger_finds_each_rule_where_the_table_says():
    table = _where_is_what()
    assert len(table) >= 25
    lost = [(path, name) for _, path, name in table if not _stands_in(ROOT / path, name)]
    assert not lost


def _stands_in(path: Path, name: str) -> bool:
    """Return whether a file defines a name, or has it as a parameter or a field."""
    defined = rf"^\s*(def|class) {name}\b|^\s*{name}\b.*[=:]|\b{name}: "
    return path.is_file() and re.search(defined, path.read_text(encoding="utf-8"), flags=re.MULTILINE) is not None


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda page: page.stem)
def test_a_page_names_only_files_that_are_there(page):
    text = page.read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    named = re.findall(
        r"`((?:docs|examples|benchmarks|tests|deploy|dataset_tools|labeling_app|vfidpa_model)/[\w/.]+)`", text
    )
    lost = {path for path in linked if not (page.parent / path).exists()}
    lost |= {path for path in named if not (ROOT / path).exists()}
    assert not lost

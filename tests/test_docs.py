"""The documentation as a reader meets it: nothing that a page lists may be missing or made up."""

import re
from pathlib import Path

from dataset_tools import manifest

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

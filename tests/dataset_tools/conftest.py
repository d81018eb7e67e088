"""The demo set, extracted and predicted once for all tests that need it; mark them ``xdist_group("demo")``."""

from pathlib import Path

import pytest

from dataset_tools import extract


@pytest.fixture(scope="session")
def demo_set(tmp_path_factory) -> Path:
    """The folder that the extraction of ``make demo`` fills; not to be changed."""
    out = tmp_path_factory.mktemp("demo_set") / "demo"
    assert extract.main(["--source", "demo", "--out", str(out), "--count", "48", "--seed", "7"]) == 0
    return out

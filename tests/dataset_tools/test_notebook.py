"""The notebook of the examples, run from first cell to last with small settings, on the demo set of the tests."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]


def test_the_notebook_runs_to_its_end(demo_set, tmp_path):
    shutil.copytree(demo_set, tmp_path / "quickstart" / "demo")  # extraction finds its work done
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for name, small in {
        "COUNT, EPOCHS, CROP = 72, 30, 224": "COUNT, EPOCHS, CROP = 72, 1, 64",
        "SECONDS = 2": "SECONDS = 0.2",
    }.items():
        assert name in settings.source
        settings.source = settings.source.replace(name, small)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    assert "{'train': 24, 'val': 12, 'test': 12}" in [output.get("data", {}).get("text/plain") for output in outputs]
    assert (tmp_path / "quickstart" / "run" / "best" / "README.md").exists()
    assert (tmp_path / "quickstart" / "routed.mp4").stat().st_size > 10_000


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)

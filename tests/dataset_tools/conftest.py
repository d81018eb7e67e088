"""Data sets for the tests of everything that reads one: the demo set, and a small one for each test to spoil.

The demo set is extracted and predicted once: its tests are in one file, which ``--dist loadfile`` gives to one worker.
"""

import shutil
from pathlib import Path

import pytest

from dataset_tools import extract
from dataset_tools.manifest import Manifest, read_manifest
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import extract as extract_clips
from tests.dataset_tools.small_data_set import build_small_data_set


@pytest.fixture(scope="session")
def demo_set(tmp_path_factory) -> Path:
    """The folder that the extraction of ``make demo`` fills; not to be changed."""
    out = tmp_path_factory.mktemp("demo_set") / "demo"
    assert extract.main(["--source", "demo", "--out", str(out), "--count", "72", "--seed", "7"]) == 0
    return out


@pytest.fixture(scope="session")
def _unpredicted(demo_clips, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("unpredicted")
    build_small_data_set(root, demo_clips)
    return root


@pytest.fixture(scope="session")
def _predicted(_unpredicted, tmp_path_factory) -> Path:
    from dataset_tools.prediction.run import predict_manifest

    root = tmp_path_factory.mktemp("predicted") / "set"
    shutil.copytree(_unpredicted, root)
    predict_manifest(read_manifest(root / "data_manifest.parquet"), device="cpu")
    return root


@pytest.fixture
def unpredicted(_unpredicted, tmp_path) -> Manifest:
    """Five triplets of two clips at 256p, in a folder of the test's own, without predictions."""
    shutil.copytree(_unpredicted, tmp_path / "set")
    return read_manifest(tmp_path / "set" / "data_manifest.parquet")


@pytest.fixture
def predicted(_predicted, tmp_path) -> Manifest:
    """The same with RIFE's predictions and all metrics."""
    shutil.copytree(_predicted, tmp_path / "predicted")
    return read_manifest(tmp_path / "predicted" / "data_manifest.parquet")


@pytest.fixture(scope="session")
def clips(tmp_path_factory, demo_clips) -> Path:
    """Three short clips in a folder."""
    return replicas.make_short_clips(tmp_path_factory.mktemp("clips"), demo_clips)


@pytest.fixture(scope="session")
def first(tmp_path_factory, clips) -> Path:
    """A data set of 24 rows, extracted by one worker; not to be changed."""
    out = tmp_path_factory.mktemp("first") / "set"
    assert extract_clips(clips, out, "--workers", "1") == 0
    return out

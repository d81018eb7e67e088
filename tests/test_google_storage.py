"""Frames in Google Cloud Storage, or in a server on this machine that speaks like it: written, read, moved, refused."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dataset_tools import extract, predict, relocate, verify
from dataset_tools.common import stores
from dataset_tools.common.remote import RemoteError, parse_folder
from dataset_tools.manifest import FRAMES_ROOT, read_manifest
from tests import gcs_server
from tests.dataset_tools.extracting import contents
from tests.dataset_tools.prediction.test_predict import MEAN


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket."""
    with gcs_server.bucket() as url:
        yield url


def test_a_data_set_is_made_predicted_checked_and_brought_home(bucket, demo_clips, tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    shutil.copy(demo_clips / "bikes.mp4", tmp_path / "clips")
    options = ["--source", f"videos:{tmp_path / 'clips'}", "--count", "4", "--predictor", "none", "--seed", "1"]
    here, there = tmp_path / "here", tmp_path / "there"
    assert extract.main([*options, "--out", str(here)]) == 0
    assert extract.main([*options, "--out", str(there), "--frames-root", f"{bucket}/sets/one"]) == 0
    assert extract.main([*options, "--out", str(there), "--frames-root", f"{bucket}/sets/one"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("0 rows done, 4 skipped, 0 rejected")
    assert not list(there.rglob("*.png"))
    for folder in (here, there):
        assert predict.main([str(folder), "--predictor", MEAN, "--device", "cpu"]) == 0
        assert verify.main([str(folder)]) == 0
    assert read_manifest(here).table.equals(read_manifest(there).table)
    assert read_manifest(there).metadata[FRAMES_ROOT] == "gs://bucket/sets/one"
    assert relocate.main([str(there), "--to", str(there)]) == 0
    pictures = [
        {name: data for name, data in contents(each).items() if name.endswith(".png")} for each in (here, there)
    ]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) >= 8


def test_files_are_those_of_a_folder(bucket):
    folder = parse_folder(f"{bucket}/some set")
    file = folder / "frames/a b/1.png"
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    file.write_bytes(b"abc" * 100_000)
    assert (file.exists(), file.size(), file.read_bytes()) == (True, 300_000, b"abc" * 100_000)
    assert folder.names("frames/a b") == {"1.png"}
    assert folder.names("frames/none") == set()


def test_places_that_cannot_be_used(bucket, monkeypatch, tmp_path):
    with pytest.raises(RemoteError, match="cannot use gs://no-such-bucket/set: there is no such bucket"):
        parse_folder("gs://no-such-bucket/set").check()
    monkeypatch.setattr(stores, "_GOOGLE_RETRY_SECONDS", 0.2)
    for variable, says in ((None, "nobody is signed in"), ("http://127.0.0.1:1", "no connection")):
        stores.connection.cache_clear()
        with monkeypatch.context() as patch:
            if variable is None:
                patch.delenv(stores.GOOGLE_EMULATOR)
                patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
                patch.setenv("HOME", str(tmp_path))  # where a person's own sign-in is
            else:
                patch.setenv(stores.GOOGLE_EMULATOR, variable)
            with pytest.raises(RemoteError, match=f"cannot use gs://bucket/set: {says}; see"):
                parse_folder("gs://bucket/set").check()
    stores.connection.cache_clear()


def test_a_command_says_it_in_one_line(bucket, tmp_path):
    command = [sys.executable, "-m", "dataset_tools.extract", "--source", "demo", "--out", str(tmp_path / "set")]
    done = subprocess.run(
        [*command, "--count", "3", "--frames-root", "gs://no-such-bucket/set"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no such bucket" in done.stderr

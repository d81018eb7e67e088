"""Which places a manifest may name for its frames, what a hostile one tries, and what is said of places that fail."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_tools import extract, predict, relocate, report, verify
from dataset_tools.common.files import FolderContents, inside
from dataset_tools.common.remote import FRAMES_MARK, RemoteFolder, parse_folder
from dataset_tools.errors import FrameError, ManifestError
from dataset_tools.frames import read_image, read_picture
from dataset_tools.manifest import FRAMES_ROOT, read_manifest
from tests import s3_server
from tests.labeling_app.helpers import make_manifest


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket."""
    with s3_server.bucket() as url:
        yield url


@pytest.fixture
def here(tmp_path) -> Path:
    """The folder of a small data set."""
    return make_manifest(tmp_path / "here", 3).parent


@pytest.mark.parametrize(
    ("root", "folder"),
    [
        ("s3://bucket", RemoteFolder("s3://bucket")),
        ("s3://bucket/set/", RemoteFolder("s3://bucket/set")),
        ("gs://bucket/a/b", RemoteFolder("gs://bucket/a/b")),
        ("file:///mnt/a%20set", Path("/mnt/a set")),
        ("/mnt/set", Path("/mnt/set")),
    ],
)
def test_roots(root, folder):
    assert parse_folder(root) == folder


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("s3://key:secret@bucket/set", r"frames root s3://\.\.\.@bucket/set must be s3://BUCKET/PATH and no more"),
        ("s3://bucket/set?endpoint_override=http://10.0.0.1", "must be s3://BUCKET/PATH and no more"),
        ("s3://bucket/../other", "no empty part"),
        ("s3:///set", "must be s3://BUCKET/PATH"),
        ("http://bucket/set", "must be s3://BUCKET/PATH, gs://BUCKET/PATH or an absolute folder"),
        ("frames", "an absolute folder"),
        ("file://host/frames", "an absolute folder"),
    ],
)
def test_roots_that_are_none(here, root, says, capsys):
    with pytest.raises(ManifestError, match=says):
        parse_folder(root)
    manifest = read_manifest(here)
    manifest.metadata[FRAMES_ROOT] = root
    manifest.write()
    assert verify.main([str(here)]) == 1
    said = capsys.readouterr().err
    assert "frames root" in said
    assert "secret" not in said
    assert said.count("\n") == 1


def test_a_manifest_names_no_folder_that_is_not_marked_as_a_place_of_frames(here, tmp_path, capsys):
    """A stranger's manifest could name the pictures of whoever opens it."""
    pictures = tmp_path / "pictures"
    card = [str(here), "--out", str(tmp_path / "card.html")]
    assert relocate.main([str(here), "--to", str(pictures)]) == 0
    assert report.main(card) == 0
    (pictures / FRAMES_MARK).unlink()
    before = {path: path.stat().st_mtime_ns for path in pictures.rglob("*")}
    capsys.readouterr()
    for command in ([verify, str(here)], [predict, str(here), "--overwrite"], [relocate, str(here), "--to", str(here)]):
        assert command[0].main(command[1:]) == 1
        said = capsys.readouterr().err
        assert f"its frames are in {pictures}, where {FRAMES_MARK} does not mark a place of frames" in said
        assert said.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in pictures.rglob("*")} == before
    (pictures / FRAMES_MARK).touch()
    assert report.main(card) == 0


@pytest.mark.parametrize("relative", ["../secret.png", "/secret.png", "a/../../secret.png", "a\\b.png", "a\0.png", ""])
def test_paths_stay_below_the_root(bucket, relative):
    (RemoteFolder(bucket) / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ManifestError, match="must stay inside s3://bucket/set"):
        inside(RemoteFolder(f"{bucket}/set"), relative)


def test_only_pictures_are_handed_on(bucket, tmp_path):
    for file in (RemoteFolder(bucket) / "notes.png", tmp_path / "notes.png"):
        file.write_bytes(b"root:x:0:0")
        with pytest.raises(FrameError, match="must be a PNG, JPEG or WebP"):
            read_picture(file)
        with pytest.raises(FrameError, match="cannot read"):
            read_image(file)


def test_names_with_signs(bucket):
    folder = RemoteFolder(f"{bucket}/signs")
    for name in ("a b/#1?.png", "%2e%2e/x.png", "ü/~y.png"):
        (folder / name).write_bytes(b"x")
        assert (folder / name).read_bytes() == b"x"
        assert FolderContents(folder).has(name)
    assert not FolderContents(folder).has("a b/#2?.png")
    assert not FolderContents(folder).has("none/x.png")


def test_places_that_cannot_be_used(bucket, here, capsys, monkeypatch):
    code = "import sys; from dataset_tools import relocate; sys.exit(relocate.main(sys.argv[1:]))"

    def relocated(to: str, **environment: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done = subprocess.run(
                [sys.executable, "-c", code, str(here), "--to", to], capture_output=True, text=True, timeout=100
            )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        return done.stderr

    for command, option in ((relocate, "--to"), (extract, "--frames-root")):
        more = [] if command is relocate else ["--source", "demo", "--out", str(here / "new"), "--count", "6"]
        for wrong in ("s3://key:secret@bucket/set", "hdfs://bucket/set"):
            assert command.main([*([str(here)] if command is relocate else more), option, wrong]) == 2
            said = capsys.readouterr().err
            assert "must be s3://BUCKET/PATH" in said
            assert "secret" not in said
    assert "cannot use s3://no-such-bucket/set: there is no such bucket" in relocated("s3://no-such-bucket/set")
    assert "no connection" in relocated("s3://bucket/set", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    with s3_server.serve(is_guarded=True) as guarded:
        assert "access is denied; see AWS_ACCESS_KEY_ID" in relocated("s3://bucket/set", AWS_ENDPOINT_URL=guarded)

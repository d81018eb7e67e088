"""Does every dependency have a wheel wherever we say it installs? ``python benchmarks/wheel_check.py``.

Resolves the core and all extras for each platform and Python as a user's installer would, from metadata alone: nothing
is built, installed, or downloaded whole. Prints how many wheels an installation takes, or what has none; ends with 1
when anything has none.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# What torch, PyAV and OpenVINO are built for sets the lower ends: macOS 14, glibc 2.28 (2.35 on ARM).
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux ARM": "aarch64-manylinux_2_35",
    "macOS ARM": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
MACOS = "14.0"
ROLES = {"core": [], "all": ["--extra", "all"]}


def resolve(platform: str, python: str, extras: list[str]) -> tuple[int, str]:
    """Return the number of distributions and an empty string, or 0 and what the resolver says."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    target = ["--python-platform", platform, "--python-version", python, "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, *target, *extras, str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
    )
    return (0, done.stderr.strip()) if done.returncode else (len(done.stdout.splitlines()), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--python", nargs="+", default=PYTHONS, help="Python versions")
    pythons = parser.parse_args().python
    print(f"| wheels (core / all) | {' | '.join(pythons)} |\n|{' --- |' * (1 + len(pythons))}")
    failures = []
    for name, platform in PLATFORMS.items():
        cells = []
        for python in pythons:
            counts = []
            for role, extras in ROLES.items():
                count, reason = resolve(platform, python, extras)
                counts.append(str(count) if count else "none")
                failures += [f"{name}, Python {python}, {role}: {reason}"] if reason else []
            cells.append(" / ".join(counts))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

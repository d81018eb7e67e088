"""Which distributions a role's installation has, and an environment in which a process sees only those."""

import importlib.metadata as metadata
import json
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

# Python imports a module of this name at every start, in the processes that a command starts too.
_SITECUSTOMIZE = """
import importlib.metadata, json, pathlib, re, sys
from importlib.machinery import PathFinder

HIDDEN = json.loads(pathlib.Path(__file__).with_name("hidden.json").read_text())

class OnlyTheRole:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN["modules"] else PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(*arguments):
        for found in PathFinder.find_distributions(*arguments):
            if re.sub("[-_.]+", "-", found.metadata["Name"]).lower() not in HIDDEN["distributions"]:
                yield found

    @staticmethod
    def invalidate_caches():
        PathFinder.invalidate_caches()

sys.meta_path[sys.meta_path.index(PathFinder)] = OnlyTheRole
"""


def normal(name: str) -> str:
    """Return a distribution's name as everybody compares it."""
    return re.sub("[-_.]+", "-", name).lower()


@cache
def packages() -> Mapping[str, list[str]]:
    """Return which distributions bring each top-level module."""
    return metadata.packages_distributions()


def declared(extra: str | None) -> list[Requirement]:
    """Return what pyproject.toml asks for in the core (``None``) or an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def distributions(*extras: str) -> set[str]:
    """Return the names of all distributions that an installation with these extras brings, as installed here."""
    found: set[tuple[str, str | None]] = set()
    waiting = [("vfi-difficulty", extra) for extra in (None, *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        if name == "vfi-difficulty":
            needed = declared(extra)
        else:
            needed = [Requirement(line) for line in metadata.requires(name) or []]
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": extra or ""}):
                waiting += [(normal(one.name), more) for more in (None, *one.extras)]
    return {name for name, _ in found}


def environment_of(folder: Path, *extras: str) -> dict[str, str]:
    """Return the environment of a process for which only the core and these extras are installed."""
    visible = distributions(*extras)
    hidden = {
        "distributions": sorted({normal(each.metadata["Name"]) for each in metadata.distributions()} - visible),
        "modules": sorted(module for module, names in packages().items() if visible.isdisjoint(map(normal, names))),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hidden.json").write_text(json.dumps(hidden))
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

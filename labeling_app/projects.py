"""Several projects on one server: a YAML file that names each project's manifest and what differs from the defaults.

    sports:
      manifest: sports/data_manifest.parquet
      overlap: 5
    animation:
      manifest: animation/data_manifest.parquet
      db: postgresql+psycopg://localhost/animation

Every project has a database of its own, with its own people, roles and votes.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from dataset_tools.common.yaml_file import read_yaml
from dataset_tools.errors import UsageError
from labeling_app.settings import LIMITS, Order, Settings

# A name stands in addresses and in the browser's storage: nothing there needs escaping.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_RESERVED = frozenset({"healthz", "texts", "viewer"})  # the server's own addresses
# What a project may say for itself, by the option's name; where the server listens is the server's.
_KEYS = {
    "manifest": str,
    "db": str,
    "against": str,
    "overlap": int,
    "order": str,
    "lease_seconds": float,
    "seed": int,
    "blind": bool,
    "gold_rate": float,
    "repeat_rate": float,
    "language": str,
}
_FIELDS = {"db": "db_url"}  # where the setting has another name
_SQLITE = "sqlite:///"  # then a file


def read_projects(path: Path, defaults: Settings) -> dict[str, Settings]:
    """Return the settings of every project of a file, by name, in the file's order.

    Args:
        path: A YAML file; paths in it, also those of SQLite databases, are relative to its folder.
        defaults: What holds where a project says nothing, and where the server listens.

    Raises:
        UsageError: The file cannot be read, a name stands twice, a key or value is not allowed, or two projects share a
            database.
    """
    content = read_yaml(path, what="projects file")
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"projects file {path} must hold one or more projects: a name, then its manifest")
    found = {}
    for name, values in content.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise UsageError(
                f"project {name!r} in {path}: a name has 1 to 40 of A-Z a-z 0-9 . _ -, and is not one of"
                f" {', '.join(sorted(_RESERVED))}"
            )
        found[name] = _project(name, values, path.parent, defaults)
    _refuse_shared(found, path)
    return found


def _project(name: str, values: Any, folder: Path, defaults: Settings) -> Settings:
    if not isinstance(values, Mapping) or "manifest" not in values:
        raise UsageError(f"project {name!r} must name its manifest: {name}: {{manifest: data_manifest.parquet}}")
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _KEYS:
            raise UsageError(f"project {name!r}: {key!r} is not one of {', '.join(_KEYS)}")
        changes[_FIELDS.get(key, str(key))] = _checked(f"project {name!r}: {key}", key, value)
    for key in ("manifest", "against"):
        if key in changes:
            changes[key] = folder / Path(changes[key]).expanduser()
    if str(changes.get("db_url")).startswith(_SQLITE):
        changes["db_url"] = _SQLITE + str(folder / changes["db_url"].removeprefix(_SQLITE))
    return replace(defaults, **{"db_url": None, "against": None, **changes}, root_path=f"/{name}")


def _checked(what: str, key: str, value: Any) -> Any:
    kind = _KEYS[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number if kind is float else type(value) is kind):
        raise UsageError(f"{what} is {value!r}; it must be {kind.__name__}")
    if key == "order" and value not in get_args(Order):
        raise UsageError(f"{what} is {value!r}; it must be one of {', '.join(get_args(Order))}")
    if key in LIMITS and not LIMITS[key][0] <= value <= LIMITS[key][1]:
        least, most = LIMITS[key]
        raise UsageError(f"{what} is {value!r}; it must lie in {least} to {most}")
    return float(value) if kind is float else value


def _refuse_shared(projects: Mapping[str, Settings], path: Path) -> None:
    """Refuse two projects on one database: each would put the other's items to rest."""
    owner: dict[str, str] = {}
    for name, settings in projects.items():
        url = settings.database_url
        file = url.removeprefix(_SQLITE)
        other = owner.setdefault(url if file == url else str(Path(file).resolve()), name)
        if other != name:
            raise UsageError(f"projects {other!r} and {name!r} in {path} share a database; name another for one by db:")

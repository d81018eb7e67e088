"""Writes the tables of docs/architecture.md, from docstrings and pyproject's floors: python -m tests.architecture."""

import ast
import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("dataset_tools", "labeling_app", "vfidpa_model")
BEGIN, END = "<!-- rooms -->\n", "<!-- /rooms -->\n"
WITHOUT_PYTHON = {  # folders that have no docstring to speak for them
    "labeling_app/texts/": "Every word people read, a file per language.",
    "labeling_app/viewer/": "The comparison bench in the browser: JavaScript modules, style sheets, example pictures.",
    "vfidpa_model/pretrained/": "The weights that come with the toolkit, each with its model card.",
}


def docstring(path: Path) -> str:
    """Return the first paragraph of a Python file's docstring as one line; empty when there is none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`")


def rooms(package: str) -> dict[str, str]:
    """Return what stands on top of a package, files and rooms, by path, with what each says of itself."""
    found = {}
    for path in sorted((ROOT / package).iterdir()):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and path.name != "__init__.py":
            found[name] = docstring(path)
        elif (path / "__init__.py").exists():
            inner = sorted(path.rglob("__init__.py"))
            found |= {f"{file.parent.relative_to(ROOT).as_posix()}/": docstring(file) for file in inner}
        elif path.is_dir() and path.name != "__pycache__":
            found[f"{name}/"] = WITHOUT_PYTHON.get(f"{name}/", "")
    return found


def tables() -> str:
    """Return the generated part of the page: a table per package, from the top floor down."""
    return "\n".join(itertools.chain.from_iterable(_table(package) for package in PACKAGES))


def _table(package: str) -> Iterator[str]:
    floors = _floors(package)
    named = rooms(package)
    yield f"## {package}\n\n{docstring(ROOT / package / '__init__.py')}\n\n| room or file | what it is |\n| --- | --- |"
    for path in sorted(named, key=lambda path: (floors.get(Path(path.split("/")[1]).stem, len(floors)), path)):
        yield f"| `{path}` | {named[path]} |"
    yield ""


def _floors(package: str) -> dict[str, int]:
    """Return the floor of each room of a package, 0 the topmost, as import-linter's contract has it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [package]:
            layers = enumerate(contract["layers"])
            return {name.strip(" ()"): floor for floor, layer in layers for name in layer.split("|")}
    return {}


def page() -> str:
    """Return the whole page with its tables made anew."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}{tables()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

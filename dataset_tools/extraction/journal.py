"""What an extraction has found out so far: one JSON line per clip, so that a run can be killed at any moment."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dataset_tools.common.files import try_lock, write_bytes
from dataset_tools.common.json_lines import whole_lines
from dataset_tools.errors import UsageError
from dataset_tools.sampling.splits import Key

FORMAT = 2
FILE_NAME = ".extraction/journal.jsonl"


class Journal:
    """The facts of earlier runs by clip; ``record`` adds one and appends it to the file.

    Attributes:
        facts: Kind of fact (``probe``, ``extract`` or ``rejected``) to clip to the newest such fact.
        options: The options of the run that began the journal; empty for a new one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.facts: dict[str, dict[Key, dict[str, Any]]] = {"probe": {}, "extract": {}, "rejected": {}}
        self.options: dict[str, Any] = {}
        self._load()

    def begin(self, options: Mapping[str, Any]) -> None:
        """Write down the options of this run."""
        if self.options != dict(options):
            self._append({"format": FORMAT, "options": dict(options)})
            self.options = dict(options)

    def start_over(self) -> None:
        """Drop all facts and options."""
        self._file.truncate(0)
        self._file.seek(0)
        self.facts, self.options = {kind: {} for kind in self.facts}, {}

    def record(self, kind: str, key: Key, fact: Mapping[str, Any]) -> None:
        """Add a fact about a clip; it takes the place of an earlier one of its kind."""
        self._append({"kind": kind, "clip": list(key), "fact": dict(fact)})
        self.facts[kind][key] = dict(fact)

    def forget(self, key: Key) -> None:
        """Drop all facts about a clip that is no longer the same."""
        for kind, known in self.facts.items():
            if known.pop(key, None) is not None:
                self._append({"kind": kind, "clip": list(key), "fact": None})

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def _load(self) -> None:
        """Read the whole lines; a last one cut off by a kill is removed."""
        self._file.seek(0)
        entries, good_bytes = whole_lines(self._file)
        for entry in entries:
            self._take(entry)
        self._file.truncate(good_bytes)
        self._file.seek(good_bytes)

    def _take(self, entry: dict[str, Any]) -> None:
        if "options" in entry:
            if entry.get("format") != FORMAT:
                raise UsageError(f"the journal {self._file.name} is of another version; use another --out")
            self.options = entry["options"]
            return
        source, clip = entry["clip"]
        if entry["fact"] is None:
            self.facts[entry["kind"]].pop((source, clip), None)
        else:
            self.facts[entry["kind"]][source, clip] = entry["fact"]


@contextmanager
def open_journal(out: Path) -> Iterator[Journal]:
    """Yield the journal of a data set's folder; no other process can have it open meanwhile.

    Raises:
        UsageError: Another extraction is writing to the folder, or it cannot be written to.
    """
    path = out / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise UsageError(f"--out {out} must be a folder that can be written to ({reason}); choose another") from error
    with path.open("rb+") as file:
        if not try_lock(file.fileno()):
            raise UsageError(f"another extraction is writing to {out}; wait for it, or choose another --out")
        yield Journal(file)


def join_journals(folders: Sequence[Path], out: Path) -> bool:
    """Put the journals of several data sets together in another, so that ``extract`` can go on there.

    Returns:
        Whether they were: all have one, made with the same options (``count`` aside; it becomes the sum).
    """
    lines: list[dict[str, Any]] = []
    options: list[dict[str, Any]] = []
    for folder in folders:
        path = folder / FILE_NAME
        if not path.exists():
            return False
        with path.open("rb+") as file:
            journal = Journal(file)
        options.append(journal.options)
        lines += [
            {"kind": kind, "clip": list(key), "fact": fact}
            for kind, known in journal.facts.items()
            for key, fact in known.items()
        ]
    if len({json.dumps({**each, "count": 0}, sort_keys=True) for each in options}) != 1:
        return False
    head = {"format": FORMAT, "options": {**options[0], "count": sum(each["count"] for each in options)}}
    data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in (head, *lines))
    write_bytes(out / FILE_NAME, data)
    return True

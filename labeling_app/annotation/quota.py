"""How many votes a triplet should get: a default, and later changes by filter (pure rules)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from dataset_tools.errors import UsageError
from labeling_app.annotation.filters import span
from labeling_app.database.events import load, of_kind

FILTER_KEYS = ("source", "resolution", "clip", "triplet_id", "interval")
MAX_OVERLAP = 100


@dataclass(frozen=True)
class Rule:
    """From now on, triplets that fit ``where`` want ``overlap`` votes; an empty filter fits all."""

    overlap: int
    where: Mapping[str, str]

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise UsageError(f"overlap ({self.overlap}) must be in 0..{MAX_OVERLAP}")
        for key, value in self.where.items():
            if key not in FILTER_KEYS:
                raise UsageError(f"filter {key!r} must be one of {', '.join(FILTER_KEYS)}")
            if key == "interval":
                span(value)


def matches(row: Mapping[str, Any], where: Mapping[str, str]) -> bool:
    """Return whether a manifest row (or a row of ``items``) fits every part of the filter."""
    for key, value in where.items():
        if key == "interval":
            low, high = span(value)
            if not low <= (row["interval"] or 0) <= high:
                return False
        elif row[key] != value:
            return False
    return True


def wanted_overlap(row: Mapping[str, Any], *, default: int, rules: Sequence[Rule]) -> int:
    """Return the votes wanted for a row: the newest rule that fits, else ``default``."""
    return next((rule.overlap for rule in reversed(rules) if matches(row, rule.where)), default)


def read_rules(connection: Connection) -> list[Rule]:
    """Return all changes of the overlap, oldest first."""
    payloads = [load(row) for row in of_kind(connection, "overlap")]
    return [Rule(payload["overlap"], payload["where"]) for payload in payloads]

"""Which items, and which of their votes, are meant: filters as the page, the API and the commands write them (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from dataset_tools.errors import UsageError
from labeling_app.annotation.filters import span

WORDS = ("source", "resolution", "clip", "triplet_id", "status")
NUMBERS = ("interval", "level", "votes", "spread", "motion", "score", "skipped", "flagged", "commented", "excluded")
OF_VOTES = ("person", "since", "until")
KEYS = (*WORDS, *NUMBERS, *OF_VOTES)
STATUSES = ("open", "begun", "complete", "disputed", "decided", "gold")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Selection:
    """Items that fit every part of ``where`` and, if given, are among ``items``; an empty one means all items."""

    where: Mapping[str, str] = field(default_factory=dict)
    items: frozenset[int] | None = None

    def __post_init__(self) -> None:
        for key, value in self.where.items():
            if key not in KEYS:
                raise UsageError(f"filter {key!r} must be one of {', '.join(KEYS)}")
            if key in NUMBERS:
                span(value)
            elif key == "status" and value not in STATUSES:
                raise UsageError(f"status {value!r} must be one of {', '.join(STATUSES)}")
            elif key in ("since", "until"):
                time_us(value)

    @property
    def person(self) -> str | None:
        """The annotator whose votes are meant."""
        return self.where.get("person")

    @property
    def since_us(self) -> int | None:
        """The time from which on votes are meant, microseconds since 1970."""
        return time_us(self.where["since"]) if "since" in self.where else None

    @property
    def until_us(self) -> int | None:
        """The time before which votes are meant; a day without a time is meant whole."""
        if "until" not in self.where:
            return None
        until = self.where["until"].strip()
        return time_us(until) + (86_400_000_000 if len(until) == len("2026-11-30") else 0)

    @property
    def of_votes(self) -> bool:
        """Whether only some votes of an item are meant."""
        return any(key in self.where for key in OF_VOTES)


def time_us(value: str) -> int:
    """Return a time such as ``2026-11-30`` or ``2026-11-30T14:00`` (UTC unless it says otherwise) in microseconds.

    Raises:
        UsageError: It is not one.
    """
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"time {value!r} must be ISO 8601, e.g. 2026-11-30 or 2026-11-30T14:00") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def chosen(table: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Return the rows of the desk's table (``labeling_app.desk.table``) that ``selection`` means, votes aside."""
    fits = pd.Series(True, index=table.index)
    if selection.items is not None:
        fits &= table["item_id"].isin(list(selection.items))
    for key, value in selection.where.items():
        if key in WORDS:
            fits &= table[key] == value
        elif key in NUMBERS:
            low, high = span(value)
            fits &= table[key].between(low, high)  # no number (no score, no level) fits no range
    return table[fits]

"""When the project will be done, from what is missing and how fast votes came lately (pure)."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

DAY_US = 86_400_000_000
LOOK_BACK_DAYS = 14


@dataclass(frozen=True)
class Forecast:
    """What is left, and when it will be done if people go on as they did.

    ``votes_per_day`` is the mean over the days since the first vote of the last two weeks, weekends and holidays
    included; ``date`` (ISO) is ``None`` without votes in that time. ``date`` is today where nothing is left.
    """

    items_left: int
    votes_left: int
    votes_per_day: float
    days_left: float | None
    date: str | None


def forecast(missing: Sequence[int], voted_at_us: Sequence[int], *, now_us: int) -> Forecast:
    """Return the forecast.

    Args:
        missing: Votes still wanted per item.
        voted_at_us: Times of the votes that count, in any order, microseconds since 1970.
        now_us: The time.
    """
    votes_left, items_left = sum(missing), sum(votes > 0 for votes in missing)
    recent = [time for time in voted_at_us if now_us - LOOK_BACK_DAYS * DAY_US < time <= now_us]
    days = max(1.0, (now_us - min(recent)) / DAY_US) if recent else 0.0
    per_day = len(recent) / days if recent else 0.0
    days_left = 0.0 if votes_left == 0 else votes_left / per_day if per_day else None
    return Forecast(items_left, votes_left, per_day, days_left, _date(now_us, days_left))


def _date(now_us: int, days_left: float | None) -> str | None:
    if days_left is None:
        return None
    today = datetime.datetime.fromtimestamp(now_us // 1_000_000, datetime.UTC)
    try:
        return (today + datetime.timedelta(days=days_left)).date().isoformat()
    except OverflowError:  # beyond the year 9999
        return None

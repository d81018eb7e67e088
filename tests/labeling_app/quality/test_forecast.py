"""When the project will be done, from plain numbers."""

import pytest

from labeling_app.quality.forecast import DAY_US, forecast

NOW = 20_000 * DAY_US  # 2024-10-04


def days_ago(*days):
    return [int(NOW - day * DAY_US) for day in days]


@pytest.mark.parametrize(
    ("missing", "times", "per_day", "days_left", "date"),
    [
        ([2, 0, 1], days_ago(1, 1.5, 2), 1.5, 2.0, "2024-10-06"),
        ([10], days_ago(*[10] * 50), 5.0, 2.0, "2024-10-06"),
        ([5], days_ago(0.01, 0.02), 2.0, 2.5, "2024-10-06"),  # less than a day counts as one
        ([5], days_ago(20, 30), 0.0, None, None),  # nobody voted lately
        ([5], [], 0.0, None, None),
        ([0, 0], days_ago(1), 1.0, 0.0, "2024-10-04"),
        ([1], days_ago(1, -5), 1.0, 1.0, "2024-10-05"),  # a vote from the future, after the clock was set back
    ],
)
def test_forecast(missing, times, per_day, days_left, date):
    found = forecast(missing, times, now_us=NOW)
    assert (found.votes_left, found.items_left) == (sum(missing), sum(votes > 0 for votes in missing))
    assert (found.votes_per_day, found.days_left, found.date) == (pytest.approx(per_day), days_left, date)

"""Output times, decoding times, halving timesteps, and stages that overlap: the parts without a video."""

import itertools
import threading
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vfidpa_model.simple_interpolators import HalfMean, Mean
from vfidpa_model.interpolation.prefetch import running_ahead
from vfidpa_model.interpolation.timeline import Slot, Timeline, decoding_times
from vfidpa_model.routing.any_timestep import AnyTimestep

F = Fraction


@pytest.mark.parametrize(
    ("timeline", "pts0", "pts1", "expected"),
    [
        (Timeline(2), 1, 2, [(1, 0), (F(3, 2), F(1, 2))]),
        (Timeline(4), 0, 1, [(0, 0), (F(1, 4), F(1, 4)), (F(1, 2), F(1, 2)), (F(3, 4), F(3, 4))]),
        (Timeline(fps=F(2)), 0, 1, [(0, 0), (F(1, 2), F(1, 2))]),
        (Timeline(fps=F(5, 2)), 1, 2, [(F(6, 5), F(1, 5)), (F(8, 5), F(3, 5))]),
        (Timeline(fps=F(1, 3)), 1, 2, []),
        (Timeline(fps=F(100)), 0, F(1, 100), [(0, 0)]),
        # a container that rounds to milliseconds: the original is meant, on either side
        (Timeline(fps=F(30)), F(333, 10000), F(667, 10000), [(F(1, 30), 0), (F(1, 15), 1)]),
    ],
)
def test_slots(timeline, pts0, pts1, expected):
    slots = timeline.slots(F(pts0), F(pts1), start=F(0))
    assert slots == [Slot(F(pts), F(timestep)) for pts, timestep in expected]


@pytest.mark.parametrize(
    ("timeline", "source_tick", "source_fps", "tick", "fps"),
    [
        (Timeline(2), F(1, 90_000), F(30_000, 1001), F(1, 180_000), F(60_000, 1001)),
        (Timeline(32), F(1, 10**9), F(30), F(1, 10**7), F(960)),  # Matroska can count nanoseconds
        (Timeline(32), F(1, 90_000), F(1_234_567_890, 41_152_263), F(1, 2_880_000), F(96_000_000, 100_000)),
        (Timeline(fps=F(60)), F(1, 90_000), F(25), F(1, 10_020), F(60)),
    ],
)
def test_ticks_and_rates_fit_into_headers(timeline, source_tick, source_fps, tick, fps):
    assert timeline.time_base(source_tick) == tick
    assert float(timeline.output_fps(source_fps)) == pytest.approx(float(fps), rel=1e-4)
    assert timeline.output_fps(source_fps).numerator < 2**31


@given(
    gaps=st.lists(st.integers(1, 90), min_size=1, max_size=30),
    fps=st.fractions(F(1), F(240), max_denominator=1001),
    start=st.integers(-5, 10**6),
)
@settings(max_examples=50, deadline=None)
def test_a_fixed_rate_has_no_gap_and_no_drift(gaps, fps, start):
    times = [F(value, 90) for value in itertools.accumulate([start, *gaps])]
    slots = [slot for a, b in itertools.pairwise(times) for slot in Timeline(fps=fps).slots(a, b, start=times[0])]
    assert [slot.pts for slot in slots] == [times[0] + k / fps for k in range(len(slots))]
    assert 0 <= times[-1] - slots[-1].pts <= 1 / fps
    assert all(0 <= slot.timestep <= 1 for slot in slots)


@given(
    groups=st.lists(st.permutations([0, 1, 2, 3]), min_size=1, max_size=6),
    gaps=st.lists(st.integers(1, 50), min_size=24, max_size=24),
)
@settings(max_examples=50, deadline=None)
def test_decoding_times_rise_and_never_follow_presentation(groups, gaps):
    shown = list(itertools.accumulate(gaps))
    pts = [shown[4 * group + place] for group, places in enumerate(groups) for place in places]
    times = decoding_times(pts)
    assert len(times) == len(pts)
    assert all(a < b for a, b in itertools.pairwise(times))
    assert all(decoded <= presented for decoded, presented in zip(times, pts, strict=True))


def test_no_packets_need_no_decoding_times():
    assert decoding_times([]) == []
    assert decoding_times([7]) == [7]


@pytest.mark.parametrize("timestep", [0.5, 0.25, 0.75, 0.125, 0.40625, 0.3])
def test_a_model_of_the_middle_reaches_any_timestep_by_halving(timestep):
    img0, img1 = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    for model in (Mean(), HalfMean()):
        made = AnyTimestep(model).interpolate(img0, img1, timestep)
        exact = type(model) is Mean or (timestep * 32).is_integer()
        assert abs(float(made.mean()) - timestep) <= (1e-6 if exact else 1 / 64)


def test_a_stage_keeps_order_runs_ahead_only_so_far_and_ends():
    taken: list[int] = []

    def source():
        for value in range(100):
            taken.append(value)
            yield value

    before = threading.active_count()
    with running_ahead(source(), depth=3) as ahead:
        assert list(itertools.islice(ahead, 10)) == list(range(10))
    assert len(taken) <= 10 + 3 + 1
    assert threading.active_count() == before


def test_an_error_in_a_stage_is_raised_where_its_items_are_taken():
    def source():
        yield 1
        raise ValueError("broken")

    with running_ahead(source(), depth=2) as first, running_ahead(first, depth=2) as second:
        assert next(second) == 1
        with pytest.raises(ValueError, match="broken"):
            next(second)

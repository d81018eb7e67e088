"""Labels, splits, checks before any work, the cache of decoded frames, and the order of batches."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_tools.errors import FrameError, ManifestError, UsageError
from dataset_tools.frames import pixels_sha256, read_image, write_image
from dataset_tools.manifest import from_rows
from tests.vfidpa_model.labelled_set import SIDE, labelled_rows, vote
from vfidpa_model.pairs.labels import select_samples, training_samples
from vfidpa_model.pairs.loading import (
    FrameReader,
    TrainingPairs,
    WholePairs,
    batches_from,
    make_loader,
    read_batches,
    shape_batches,
    to_device,
)
from vfidpa_model.pairs.sample import latest_votes, level_distribution


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("labelled")


@pytest.fixture(scope="module")
def rows(folder, demo_clips):
    return labelled_rows(folder, demo_clips)


@pytest.fixture
def make(folder, rows):
    """Returns make(change) -> manifest of the rows, each a copy passed through ``change(position, row)``."""

    def build(change=lambda position, row: {}):
        return from_rows(folder / "m.parquet", [{**row, **change(i, row)} for i, row in enumerate(rows)])

    return build


@pytest.mark.parametrize(
    ("votes", "level", "expected"),
    [
        ({"a": 2, "b": 2, "c": 3, "d": 3}, 3.0, (0, 0.5, 0.5, 0)),
        ({"a": 4}, 4.0, (0, 0, 0, 1)),
        ({}, 2.0, (0, 1, 0, 0)),
        ({}, 2.25, (0, 0.75, 0.25, 0)),
        ({}, 1.0, (1, 0, 0, 0)),
    ],
)
def test_soft_labels(votes, level, expected):
    found = level_distribution(votes, level=level)
    assert found == pytest.approx(expected)
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (None, {}),
        ([vote("a", 1), vote("b", 3)], {"a": 1, "b": 3}),
        ([vote(None, 4), vote("b", 2)], {"b": 2}),
        ([vote("a", 4, day=3), vote("a", 1, day=1)], {"a": 4}),  # the later one, whatever the order
        ([vote("a", 4, flagged=True), vote("b", 2)], {"a": 4, "b": 2}),  # a flag asks for a look, it takes nothing back
    ],
)
def test_only_the_latest_vote_counts(votes, expected):
    assert latest_votes(votes) == expected


@pytest.mark.parametrize(("labels", "expected"), [("human", 24), ("proxy", 24), ("any", 48)])
def test_proxy_labels_are_never_mixed_in_unless_asked_for(make, labels, expected):
    sources = ["human", "proxy", None]
    manifest = make(lambda i, row: {"level_source": sources[i % 3], "level": row["level"] if i % 3 < 2 else None})
    samples = select_samples(manifest, resolution="256p", labels=labels)
    assert len(samples) == expected
    assert all(bool(sample.votes) == (labels == "human") for sample in samples if labels != "any")


def every(**values):
    return lambda position, row: values


def alternate(column, *values):
    return lambda position, row: {column: values[position % len(values)]}


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (every(level=None, level_source=None), {}, ManifestError, "has no labels at 256p; label it with labeling_app"),
        (every(level_source="proxy"), {}, ManifestError, "no human labels at 256p, only proxy; add --labels proxy"),
        (every(level=2.0), {}, ManifestError, "all 48 training labels of .* are 2: must be two or more"),
        (every(split="test"), {}, ManifestError, "has no labelled row in split train"),
        (alternate("split", "train", "test"), {}, ManifestError, "must be in one split, found in test, train"),
        (
            alternate("clip_sha256", "ab" * 32),
            {},
            ManifestError,
            "one clip file in two splits: .* repairs it",
        ),
        (
            alternate("split", "test", None),
            {},
            ManifestError,
            "must be in one split, found in test, train",
        ),  # as if train
        (every(split="exam"), {}, ManifestError, r"split \('exam'\) must be one of train, val, test"),
        (every(width=63), {}, ManifestError, r"frames \(63x64\) must be 64 a side"),
        (every(height=None), {}, ManifestError, r"frames \(64x0\) must be 64 a side"),
        (every(level_source=None), {}, ManifestError, "only labels of unknown source; add --labels any to use them"),
        (every(resolution="720p"), {}, UsageError, r"resolution \(256p\) must be a tier of .*, which has 720p"),
        (every(), {"resolution": "480p"}, UsageError, r"resolution \('480p'\) must be one of 256p, 720p, 1080p, all"),
        (every(), {"labels": "mine"}, UsageError, r"labels \('mine'\) must be one of human, proxy, any"),
        (every(level=5.0), {}, ManifestError, r"level \(5\) must be from 1 to 4"),
        (alternate("img1", "frames/gone.png"), {}, ManifestError, "72 frames of .* are missing, first .*gone.png"),
        (
            every(inputs_lpips=None),
            {},
            ManifestError,
            "no inputs_lpips; run dataset_tools.predict, or .*--aux-weight 0",
        ),
    ],
)
def test_clear_errors_before_any_work(make, change, options, error, words):
    with pytest.raises(error, match=words):
        training_samples(make(change), **{"resolution": "256p", "labels": "human", "aux_weight": 0.1, **options})


def test_training_pairs_are_seeded_crops_of_the_frames(make):
    samples = select_samples(make(), resolution="256p", labels="human")
    pairs = TrainingPairs(samples, reader=FrameReader(), crop=48, seed=5)
    one, again, other = pairs[0, 3], pairs[0, 3], pairs[1, 3]
    assert one["img0"].shape == (3, 48, 48)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["img0"], other["img0"])
    assert one["level"] == samples[3].level
    assert to_device(one, torch.device("cpu"))["img0"].max() <= 1


def test_frames_smaller_than_the_crop_are_mirrored(make):
    pairs = TrainingPairs(
        select_samples(make(), resolution="256p", labels="human"), reader=FrameReader(), crop=80, seed=0
    )
    assert pairs[0, 0]["img1"].shape == (3, 80, 80)


@pytest.mark.parametrize("height", [None, 80])
def test_cache_gives_the_same_pixels_and_is_used(make, tmp_path, height):
    sample = select_samples(make(), resolution="256p", labels="human")[0]
    for name in ("img0", "img1"):
        rgb = np.kron(read_image(getattr(sample, name)), np.ones((2, 2, 1), np.uint8))
        path = tmp_path / "frames" / f"{name}.png"
        write_image(path, rgb)
        sample = replace(
            sample, **{name: str(path), f"{name}_sha256": pixels_sha256(rgb)}, width=2 * SIDE, height=2 * SIDE
        )
    cache = tmp_path / "cache"
    plain, cached = FrameReader(height), FrameReader(height, cache)
    first, second = cached.pair(sample), cached.pair(sample)
    for a, b, c in zip(plain.pair(sample), first, second, strict=True):
        assert a.shape == (height or 2 * SIDE, height or 2 * SIDE, 3)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert len(list(cache.iterdir())) == 2
    assert isinstance(second[0], np.memmap)
    next(cache.glob(f"{sample.img0_sha256}*")).write_bytes(b"torn")
    np.testing.assert_array_equal(cached.pair(sample)[0], plain.pair(sample)[0])


@pytest.mark.parametrize("sha256", ["../../evil", "ab" * 32], ids=["no hash", "another hash"])
def test_a_hash_that_does_not_fit_is_not_cached(make, tmp_path, sha256):
    """Not outside the folder, and not under the name of other pixels, where it would outlive their repair."""
    first_id = select_samples(make(), resolution="256p", labels="human")[0].triplet_id
    changed = make(lambda position, row: {"img0_sha256": sha256} if row["triplet_id"] == first_id else {})
    sample = select_samples(changed, resolution="256p", labels="human")[0]
    np.testing.assert_array_equal(FrameReader(None, tmp_path / "a/b").pair(sample)[0], FrameReader().pair(sample)[0])
    assert [path.name for path in tmp_path.rglob("*.npy")] == [f"{sample.img1_sha256}-full.npy"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_frame_is_one_line(make, tmp_path, workers):
    sample = select_samples(make(), resolution="256p", labels="human")[0]
    torn, wide = tmp_path / "torn.png", replace(sample, width=66)
    torn.write_bytes(Path(sample.img0).read_bytes()[:900])
    for bad, words in (
        (replace(sample, img0=str(torn)), "cannot read .*torn.png"),
        (wide, "has not the size that its"),
    ):
        with pytest.raises(FrameError, match=words) as error:
            next(read_batches(WholePairs([bad], reader=FrameReader()), [[0]], workers=workers))
        assert str(error.value).startswith(("cannot", str(sample.img0)))


def test_worker_count_changes_nothing(make):
    pairs = TrainingPairs(
        select_samples(make(), resolution="256p", labels="human"), reader=FrameReader(), crop=32, seed=1
    )
    keys = list(batches_from(0, num_steps=6, num_samples=len(pairs), batch=16, seed=1))
    state = torch.get_rng_state()
    alone, helped = (list(make_loader(pairs, keys, workers=workers)) for workers in (0, 2))
    assert torch.equal(state, torch.get_rng_state())  # the global generator is the model's alone
    for a, b in zip(alone, helped, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a if name != "inputs_lpips")


def test_batches_cover_each_epoch_once_and_resume_anywhere():
    keys = list(batches_from(0, num_steps=9, num_samples=13, batch=4, seed=0))
    assert [{epoch for epoch, _ in batch} for batch in keys] == [{0}] * 3 + [{1}] * 3 + [{2}] * 3
    for epoch in range(3):
        assert len({index for batch in keys for e, index in batch if e == epoch}) == 12
    for step in range(9):
        assert list(batches_from(step, num_steps=9, num_samples=13, batch=4, seed=0)) == keys[step:]
    shares = [list(batches_from(0, num_steps=9, num_samples=13, batch=4, seed=0, rank=r, world=2)) for r in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in keys]


def test_whole_frames_are_batched_by_shape(make):
    samples = select_samples(make(lambda i, row: {"width": SIDE + i % 2}), resolution="256p", labels="human")
    batches = shape_batches(samples, range(10), batch=3)
    assert sorted(index for batch in batches for index in batch) == list(range(10))
    assert all(len(batch) <= 3 and len({samples[i].width for i in batch}) == 1 for batch in batches)
    plain = next(i for i, sample in enumerate(samples) if sample.width == SIDE)
    whole = WholePairs(samples, reader=FrameReader())[plain]
    np.testing.assert_array_equal(whole["img0"].permute(1, 2, 0), read_image(Path(samples[plain].img0)))
    assert whole["index"] == plain


def test_unknown_lpips_stays_unknown(make):
    """Some are known: the others are left out of the auxiliary loss."""
    manifest = make(alternate("inputs_lpips", None, 0.5))
    samples = training_samples(manifest, resolution="256p", labels="human", aux_weight=1)
    assert sum(math.isnan(sample.inputs_lpips) for sample in samples) == 36


def test_a_leak_counts_in_the_tier_that_is_trained_on_only(make):
    """Nobody learns from another tier's rows; ``all`` takes every row, and ``verify`` always does."""
    clip = make().table.column("clip")[0].as_py()

    def move(position, row):
        is_of_clip = row["clip"] == clip and position % 2
        return {"split": "test" if is_of_clip else row["split"], "resolution": "720p" if is_of_clip else "256p"}

    manifest = make(move)
    assert select_samples(manifest, resolution="256p", labels="human")
    with pytest.raises(ManifestError, match=f"clip .*/{clip} must be in one split"):
        select_samples(manifest, resolution="all", labels="human")

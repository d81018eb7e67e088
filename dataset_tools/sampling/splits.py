"""Which clips are for training, validation and testing: by clip, seeded, official test clips kept apart (pure)."""

from collections.abc import Mapping, Sequence

from dataset_tools.errors import UsageError
from dataset_tools.sampling.triplets import clip_seed

SPLITS = ("train", "val", "test")
_FILL_ORDER = ("train", "test", "val")  # with fewer clips than splits, a test clip is worth more than a val clip
Key = tuple[str, str]  # (source, clip)


def parse_split(text: str) -> tuple[float, float, float]:
    """Return the shares of train, val and test from text such as ``"0.8,0.1,0.1"``.

    Raises:
        UsageError: Not three numbers in [0, 1] with the sum 1.
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != 3 or not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"--split {text!r} must be three shares train,val,test with the sum 1, such as 0.8,0.1,0.1")
    return shares[0], shares[1], shares[2]


def assign_splits(
    clips: Sequence[Key],
    *,
    shares: tuple[float, float, float],
    seed: int,
    official: Mapping[Key, str],
    fixed: Mapping[Key, str],
) -> dict[Key, str]:
    """Return the split of every clip.

    Args:
        clips: (source, clip) pairs.
        shares: Of train, val and test. A split with a share gets a clip as long as there are enough clips.
        official: Clips whose data set says ``"train"``, ``"val"`` or ``"test"``. An official train clip may become
            ``val``, as the shares say, never ``test``; the other two are kept.
        fixed: Clips that already are in a split, and stay there whatever clips have come or gone since.
    """
    wanted = dict(zip(SPLITS, shares, strict=True))
    result = {key: official[key] for key in clips if official.get(key) in ("val", "test")}
    for_official_train = {"train": 1.0} if "val" in official.values() else {**wanted, "test": 0.0}
    result.update(_deal([key for key in clips if official.get(key) == "train"], for_official_train, seed=seed))
    result.update(_deal([key for key in clips if key not in official], wanted, seed=seed))
    return {**result, **{key: split for key, split in fixed.items() if key in result}}


def _deal(clips: Sequence[Key], shares: Mapping[str, float], *, seed: int) -> dict[Key, str]:
    """Deal clips in seeded order, each to the split that is furthest below its share; empty splits come first."""
    used = [split for split in _FILL_ORDER if shares.get(split, 0) > 0] or ["train"]
    counts = dict.fromkeys(used, 0)
    result = {}
    for key in sorted(clips, key=lambda key: (clip_seed(seed, key[0], key[1], purpose="split"), key)):
        empty = [split for split in used if counts[split] == 0]
        total = sum(shares.get(split, 0) for split in used) or 1.0
        missing = {split: shares.get(split, 0) / total * len(clips) - counts[split] for split in used}
        chosen = empty[0] if empty else max(used, key=missing.__getitem__)
        counts[chosen] += 1
        result[key] = chosen
    return result

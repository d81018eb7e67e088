"""Which clips are for training, validation and testing: by group, seeded, official test clips kept apart (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataset_tools.errors import UsageError
from dataset_tools.sampling.triplets import clip_seed

SPLITS = ("train", "val", "test")
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


def split_of(group: str, *, shares: tuple[float, float, float], seed: int) -> str:
    """Return the split of a group of clips: it depends on these alone, whatever else is in the data set.

    So a split gets its share of many groups, and perhaps no clip at all of a few.
    """
    point = clip_seed(seed, "group", group, purpose="split") / 2**64 * sum(shares)
    for split, share in zip(SPLITS, shares, strict=True):
        if point < share:
            return split
        point -= share
    return next(split for split, share in zip(SPLITS[::-1], shares[::-1], strict=True) if share > 0)


@dataclass
class Splits:
    """Where the clips go.

    Attributes:
        by_clip: Clip to split.
        torn: Clips that can be in no split, with the reason: what they show is in two splits already.
    """

    by_clip: dict[Key, str] = field(default_factory=dict)
    torn: dict[Key, str] = field(default_factory=dict)


def assign_splits(
    groups: Mapping[Key, str],
    *,
    shares: tuple[float, float, float],
    seed: int,
    official: Mapping[Key, str],
    fixed: Mapping[Key, str],
) -> Splits:
    """Return the split of every clip: that of its group.

    Args:
        groups: Clip to group.
        shares: Of train, val and test.
        official: Clips whose data set says ``"train"``, ``"val"`` or ``"test"``. A group with a test clip is for test,
            else one with a val clip for val. Without those, one with a train clip is for train; or for val, as the
            shares say, where its data set names no val clips.
        fixed: Clips that already are in a split. They stay there, and the others of their group join them.
    """
    members: dict[str, list[Key]] = {}
    for key, group in groups.items():
        members.setdefault(group, []).append(key)
    has_val = {key[0] for key, split in official.items() if split == "val"}
    result = Splits()
    for group, keys in members.items():
        said = {official[key] for key in keys if key in official}
        held = {fixed[key] for key in keys if key in fixed}
        if not held:
            split = _fresh(group, said, shares, seed, is_val_listed=any(key[0] in has_val for key in keys))
            result.by_clip.update(dict.fromkeys(keys, split))
            continue
        for key in keys:
            if key in fixed:
                result.by_clip[key] = fixed[key]
            elif len(held) > 1:
                result.torn[key] = f"it shares frames with clips in {' and '.join(sorted(held))}"
            elif official.get(key) in ("val", "test") and official[key] not in held:
                (split,) = held
                result.torn[key] = f"it is for {official[key]}, and shares frames with clips in {split}"
            else:
                result.by_clip[key] = next(iter(held))
    return result


def _fresh(group: str, said: set[str], shares: tuple[float, float, float], seed: int, *, is_val_listed: bool) -> str:
    for split in ("test", "val"):
        if split in said:
            return split
    if "train" in said:
        if is_val_listed or shares[0] + shares[1] <= 0:
            return "train"
        return split_of(group, shares=(shares[0], shares[1], 0.0), seed=seed)
    return split_of(group, shares=shares, seed=seed)

"""Who labels what next: order, mixing of hidden checks, training, qualification, late votes. Pure rules.

Nothing here reads a clock, a database or the global random state: times and generators are passed in.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["work", "repeat", "gold", "training", "qualification"]
State = Literal["leased", "voted", "skipped", "released", "surplus"]

TRAINING_ITEMS = 5
QUALIFICATION_ITEMS = 10
REPEAT_GAP = 20  # votes between an item and its hidden repeat: long enough that the first vote is forgotten
SPREAD_TO_REVIEW = 2  # levels between the lowest and the highest vote that send a triplet to a reviewer


@dataclass(frozen=True)
class Gold:
    """An item whose level is known."""

    item_id: int
    level: int
    purpose: Literal["training", "qualification", "gold"]
    note: str = ""


def annotator_rng(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one annotator: the same on every server and after every restart."""
    digest = hashlib.sha256(f"{seed}\n{name}\n".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def strata(
    sources: Sequence[str | None], resolutions: Sequence[str | None], intervals: Sequence[int | None]
) -> npt.NDArray[np.int64]:
    """Return a code per row for (source, tier, interval bucket); buckets double: 1, 2, 3-4, 5-8, 9-16, ..."""
    codes: dict[tuple[str | None, str | None, int], int] = {}
    rows = zip(sources, resolutions, intervals, strict=True)
    return np.array(
        [codes.setdefault((s, r, (max(i or 1, 1) - 1).bit_length()), len(codes)) for s, r, i in rows], dtype=np.int64
    )


def stratified_order(codes: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return a random order of the rows in which every prefix holds each stratum in proportion.

    The j-th row of a stratum of n rows (after shuffling) lies at (j + u) / n with u uniform in [0, 1):

        stratum A (n = 4):  A     A     A     A
        stratum B (n = 2):     B           B
    """
    shuffled = rng.permutation(len(codes))
    by_stratum = shuffled[np.argsort(codes[shuffled], kind="stable")]
    _, starts, counts = np.unique(codes[by_stratum], return_index=True, return_counts=True)
    within = np.arange(len(codes)) - np.repeat(starts, counts)
    positions = (within + rng.random(len(codes))) / np.repeat(counts, counts)
    return by_stratum[np.argsort(positions, kind="stable")]


def worth_of_a_vote(
    scores: npt.NDArray[np.float64], spreads: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Return in [0, 1] how much one more vote says about each row.

    Args:
        scores: The model's score on the level scale; NaN where there is none (worth 0 by itself). A score half-way
            between two levels is worth most.
        spreads: Highest minus lowest vote so far, in levels (0 without votes); three levels apart is worth most.
    """
    by_score = np.nan_to_num(1 - 2 * np.abs(scores - np.floor(scores) - 0.5), nan=0.0)
    return by_score if spreads is None else np.maximum(by_score, np.clip(spreads / 3, 0, 1))


def worth_to_the_model(scores: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return in [0, 1] where a model is least sure or disagrees with the votes.

    Args:
        scores: The model's score on the level scale; NaN where there is none (worth 0).
        levels: Mean level of the votes so far; NaN without votes. Three levels apart is worth most.
    """
    gap = np.nan_to_num(np.abs(scores - levels) / 3, nan=0.0)
    return np.maximum(worth_of_a_vote(scores), np.clip(gap, 0, 1))


def in_random_share(item_ids: Sequence[int], seed: int, *, share: float) -> npt.NDArray[np.bool_]:
    """Return which items are drawn at random, whatever a vote on them is worth: a fixed ``share`` of the set.

    The same for all annotators: were it theirs, the items worth most would be full before their random turn came, and
    the votes chosen at random would say too little about those.
    """
    digests = (hashlib.sha256(f"{seed}\nrandom share\n{item}".encode()).digest() for item in item_ids)
    return np.array([int.from_bytes(digest[:8], "big") < share * 2**64 for digest in digests], dtype=bool)


def uncertain_order(
    random_order: npt.NDArray[np.int64],
    worth: npt.NDArray[np.float64],
    *,
    at_random: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return the rows: those ``at_random`` in the order given, between them the others, worth most first.

    Every prefix holds the two kinds in proportion, and what is drawn at random is never moved for its worth: votes
    there are an unbiased sample of the set.
    """
    drawn = random_order[at_random[random_order]]
    others = random_order[~at_random[random_order]]
    others = others[np.argsort(-worth[others], kind="stable")]
    places = [(np.arange(len(rows)) + 0.5) / max(len(rows), 1) for rows in (drawn, others)]
    return np.concatenate([drawn, others])[np.argsort(np.concatenate(places), kind="stable")]


def other_clips(queue: Sequence[int], clip_of: Callable[[int], str], *, last_clip: str | None, limit: int) -> list[int]:
    """Return the next items of an annotator's queue that do not repeat the clip just shown (looks 4 x limit ahead)."""
    return [item for item in itertools.islice(queue, 4 * limit) if clip_of(item) != last_clip][:limit]


def other_clips_first(queue: Sequence[int], clip_of: Callable[[int], str], *, last_clip: str | None) -> list[int]:
    """Return the whole queue with the clip just shown moved to its end: it comes again when nothing else is left."""
    return sorted(queue, key=lambda item: clip_of(item) == last_clip)


def next_kind(rng: np.random.Generator, *, gold_rate: float, repeat_rate: float) -> Kind:
    """Return what an annotator at work should get next: hidden checks come at the set rates."""
    draw = rng.random()
    if draw < gold_rate:
        return "gold"
    return "repeat" if draw < gold_rate + repeat_rate else "work"


def repeat_candidates(voted: Sequence[int], repeated: Set[int], *, gap: int = REPEAT_GAP) -> list[int]:
    """Return items whose hidden repeat is due, longest ago first.

    Args:
        voted: The annotator's items of kind work in the order of the votes.
        repeated: Those that already have a repeat.
        gap: Votes that must lie between.
    """
    return [item for item in voted[: max(0, len(voted) - gap)] if item not in repeated]


def training_items(gold: Sequence[Gold], *, count: int = TRAINING_ITEMS) -> list[Gold]:
    """Return the training round: about ``count`` gold items spread over the levels, worst (4) to best (1)."""
    worst_first = sorted((g for g in gold if g.purpose == "training"), key=lambda g: (-g.level, g.item_id))
    if len(worst_first) <= count:
        return worst_first
    return [worst_first[round(i * (len(worst_first) - 1) / (count - 1))] for i in range(count)]


def qualification_items(gold: Sequence[Gold], *, count: int = QUALIFICATION_ITEMS) -> list[Gold]:
    """Return the items of the qualification, the same for everyone."""
    return sorted((g for g in gold if g.purpose == "qualification"), key=lambda g: g.item_id)[:count]


def within_one(given: int, expected: int) -> bool:
    """Return whether a level agrees with gold: neighbours are accepted, since the scale is a judgement."""
    return abs(given - expected) <= 1


def stage_of_vote(state: State, kind: Kind, *, taken: int, overlap: int) -> str | None:
    """Return under which stage a vote is stored, or ``None`` when the assignment cannot take one.

    A vote whose lease ran out still counts while the quota has room. Later, and a second vote from another tab or
    machine, it is stored as ``"surplus"``: nothing is lost, but it is not part of the consensus.
    """
    if state == "leased":
        return kind
    if state == "released":
        return kind if kind != "work" or taken < overlap else "surplus"
    if state in ("voted", "surplus"):
        return "surplus"
    return None

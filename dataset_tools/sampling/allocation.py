"""How many triplets each clip gives, so that rows come out even over tiers, sources and clips (pure).

Clips of one source that reach the same tiers form a group. Groups take turns, and inside a group its clips take
turns, each time for one triplet at all its tiers, until there are enough rows. So every tier that any clip reaches
is well filled even where most clips do not reach it. Only what decoding found out enters, never its order: the
result is the same for any number of workers and after any restart.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dataset_tools.sampling.splits import Key
from dataset_tools.sampling.triplets import clip_seed


@dataclass(frozen=True)
class Supply:
    """What a clip can give, as far as is known.

    Attributes:
        key: (source, clip).
        tiers: Resolutions it reaches, e.g. ``("256p", "720p")``.
        fair: Number of triplets it gives before others must be exhausted: a third of its frames, since a triplet
            uses three.
        limit: Number of triplets it gives at most.
        statics: Of its valid triplets, in sampling order and as far as decoded: does nothing move in them?
        is_exhausted: ``statics`` is complete: there are no further valid triplets.
    """

    key: Key
    tiers: tuple[str, ...]
    fair: int
    limit: int
    statics: tuple[bool, ...] = ()
    is_exhausted: bool = False


@dataclass
class Share:
    """What is asked of a clip.

    Attributes:
        ranks: Positions in the clip's list of valid triplets to take, in order; some may not be decoded yet.
        moving: How many of them are not static: the number to decode for.
        last_tiers: Tiers of the last one when it is to fill up the count with fewer than all, else ``None``.
    """

    ranks: list[int] = field(default_factory=list)
    moving: int = 0
    last_tiers: tuple[str, ...] | None = None


def allocate(supplies: Iterable[Supply], *, count: int, max_static: float, seed: int) -> dict[Key, Share]:
    """Return the share of every clip that gives any triplet.

    Args:
        count: Number of rows (triplets times tiers) wanted; fewer come out when the clips are exhausted.
        max_static: Share of the rows that may come from triplets in which nothing moves.
        seed: Mixes the order of clips inside their group.
    """
    return _Allocation(count, int(max_static * count)).run(_in_groups(supplies, seed))


def _in_groups(supplies: Iterable[Supply], seed: int) -> list[list[Supply]]:
    """Return the clips by (source, tiers); groups with more tiers come first, clips are mixed by seed."""
    groups: dict[tuple[str, tuple[str, ...]], list[Supply]] = {}
    for supply in supplies:
        groups.setdefault((supply.key[0], supply.tiers), []).append(supply)
    for members in groups.values():
        members.sort(key=lambda supply: (clip_seed(seed, supply.key[0], supply.key[1], purpose="order"), supply.key))
    return [groups[name] for name in sorted(groups, key=lambda name: (-len(name[1]), name))]


class _Allocation:
    def __init__(self, count: int, static_rows_left: int) -> None:
        self.count = count
        self.static_rows_left = static_rows_left
        self.shares: dict[Key, Share] = {}
        self.next_rank: dict[Key, int] = {}
        self.rows_of_tier: dict[str, int] = {}

    @property
    def rows(self) -> int:
        return sum(self.rows_of_tier.values())

    def run(self, groups: Sequence[Sequence[Supply]]) -> dict[Key, Share]:
        for is_fair in (True, False):
            queues = [deque(group) for group in groups]
            while any(queues) and self.rows < self.count:
                for queue in queues:
                    self._take_from(queue, is_fair=is_fair)
        return {key: share for key, share in self.shares.items() if share.ranks}

    def _take_from(self, queue: deque[Supply], *, is_fair: bool) -> None:
        """Take one triplet from the first clip of the queue that still has one; that clip goes to the end."""
        while queue and self.rows < self.count:
            supply = queue.popleft()
            share = self.shares.setdefault(supply.key, Share())
            limit = min(supply.fair, supply.limit) if is_fair else supply.limit
            if len(share.ranks) < limit and self._take(supply, share):
                queue.append(supply)
                return

    def _take(self, supply: Supply, share: Share) -> bool:
        tiers = self._tiers_that_fit(supply.tiers)
        rank = self.next_rank.get(supply.key, 0)
        while rank < len(supply.statics) and supply.statics[rank] and len(tiers) > self.static_rows_left:
            rank += 1
        if rank >= len(supply.statics) and supply.is_exhausted:
            return False
        self.next_rank[supply.key] = rank + 1
        share.ranks.append(rank)
        if rank < len(supply.statics) and supply.statics[rank]:
            self.static_rows_left -= len(tiers)
        else:
            share.moving += 1
        if len(tiers) < len(supply.tiers):
            share.last_tiers = tiers
        for tier in tiers:
            self.rows_of_tier[tier] = self.rows_of_tier.get(tier, 0) + 1
        return True

    def _tiers_that_fit(self, tiers: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tiers of the next triplet: all of them, or for the last one the emptiest that fit the count."""
        left = self.count - self.rows
        if left >= len(tiers):
            return tiers
        emptiest = sorted(tiers, key=lambda tier: self.rows_of_tier.get(tier, 0))[:left]
        return tuple(tier for tier in tiers if tier in emptiest)

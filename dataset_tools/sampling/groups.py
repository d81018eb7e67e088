"""Which clips show one recording, and so must be in one split: by name, by equal frames, by near-equal ones (pure)."""

import re
from collections.abc import Iterable, Mapping

from dataset_tools.errors import UsageError
from dataset_tools.sampling.splits import Key


def parse_group_by(text: str | None) -> re.Pattern[str] | None:
    """Return the pattern of ``--group-by``.

    Raises:
        UsageError: It is no regular expression.
    """
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--group-by {text!r} must be a regular expression: {error}") from error


def own_name(key: Key, pattern: re.Pattern[str] | None) -> str:
    """Return what a clip's group is called as long as frames join it to no other clip.

    That is ``source/clip``, or, where the pattern is found in the clip's name, ``source/`` and its first bracket (all
    that was found when it has none): clips of the same source with the same text are one group.
    """
    source, clip = key
    match = pattern.search(clip) if pattern else None
    if match is None:
        return f"{source}/{clip}"
    text = match[1] if match.re.groups and match[1] is not None else match[0]
    return f"{source}/~{text}"


def group_clips(names: Mapping[Key, str], pairs: Iterable[tuple[Key, Key]]) -> dict[Key, str]:
    """Return the group of every clip, called by the first of its members' own names in alphabetical order.

    Args:
        names: ``own_name`` of every clip.
        pairs: Clips that show the same recording.
    """
    leader = {name: name for name in names.values()}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for one, other in pairs:
        first, second = sorted((find(names[one]), find(names[other])))
        leader[second] = first
    return {key: find(name) for key, name in names.items()}

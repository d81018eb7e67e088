"""The difficulty scale: whole levels 1 (easy) to 4 (failed), what they are called, and where hard begins."""

LEVELS = (1, 2, 3, 4)
NUM_LEVELS = len(LEVELS)
LEVEL_NAMES = {1: "easy", 2: "slight", 3: "hard", 4: "failed"}
LEVEL_MEANINGS = {  # as annotators read them; the page has them in every language
    1: "no difference is visible, even when flickering at 1:1",
    2: "visible only when flickering or zoomed; it would pass in playback",
    3: "visible side by side at normal size: blur, ghosting, bent or doubled edges",
    4: "something is broken, missing, torn or in the wrong place",
}
HARD_ABOVE = 2.5  # between "slight" and "hard": levels 1 and 2 go to the fast interpolator, 3 and 4 to the accurate one


def is_on_scale(level: float | None) -> bool:
    """Return whether a level, or a mean of levels, lies on the scale."""
    return level is not None and LEVELS[0] <= level <= LEVELS[-1]

"""The difficulty scale: whole levels 1 (easy) to 4 (failed), what they are called, and where hard begins."""

LEVELS = (1, 2, 3, 4)


HARD_ABOVE = 2.5  # levels 3 and 4 go to the accurate interpolator

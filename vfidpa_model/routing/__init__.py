"""Which pair, or which part of a frame, gets the accurate interpolator, and what that costs."""

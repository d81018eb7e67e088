"""Processes that work on clips, so that a decoder that hangs or crashes takes nothing else down."""

SILENCE_SECONDS = 60.0  # without a frame, after which a clip is given up unless --clip-timeout says otherwise

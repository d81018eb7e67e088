"""Processes that work on clips, so that a decoder that hangs or crashes takes nothing else down."""

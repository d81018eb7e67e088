"""Exact frame access: frame k is the k-th picture a player would show, or the clip is refused.

Two backends read the same way, forward and once: PyAV (default) and decord. Random access is not offered, because
every reader tried returns wrong frames for some container (open GOP, edit lists, variable frame rate).
"""

from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.video.reader import VideoReader

DECODERS = ("pyav", "decord")


def open_video(path: Path, *, decoder: str = "pyav") -> VideoReader:
    """Open the first video stream of a file and decode its first frame.

    Args:
        decoder: ``"pyav"``, or ``"decord"``, which refuses files it would read wrongly.

    Returns:
        A reader, to be used in a ``with`` block. A damaged stream can make a decoder hang or crash: read untrusted
        clips in a process of their own with a time limit.

    Raises:
        UsageError: Unknown decoder.
        VideoError: The file is missing, unreadable, has no video stream or no frame.
    """
    if decoder == "pyav":
        from dataset_tools.video.pyav import PyavReader

        return PyavReader(path)
    if decoder == "decord":
        from dataset_tools.video.decord import DecordReader

        return DecordReader(path)
    raise UsageError(f"decoder {decoder!r} must be one of {', '.join(DECODERS)}")


def count_frames(path: Path, *, decoder: str = "pyav") -> int:
    """Return how many frames a clip has, by decoding it: headers lie.

    Raises:
        VideoError: See ``open_video`` and ``VideoReader.frames``.
    """
    with open_video(path, decoder=decoder) as reader:
        return sum(1 for _ in reader.frames())

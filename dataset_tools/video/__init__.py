"""Exact frame access: frame k is the k-th picture a player would show, or the clip is refused.

Two backends read the same way, forward and once: PyAV (default) and decord. Random access is not offered, because
every reader tried returns wrong frames for some container (open GOP, edit lists, variable frame rate).
"""

from importlib.util import find_spec
from pathlib import Path

from dataset_tools.errors import UsageError
from dataset_tools.video.reader import VideoReader

DECODERS = ("pyav", "decord")


def check_decoder(decoder: str, *, name: str = "decoder") -> str:
    """Return ``decoder`` after checking that it can be used here; ``name`` is what the message calls it.

    Raises:
        UsageError: It is unknown, or not installed.
    """
    if decoder not in DECODERS:
        raise UsageError(f"{name} {decoder!r} must be one of {', '.join(DECODERS)}")
    if decoder == "decord" and find_spec("decord") is None:
        raise UsageError(f"{name} 'decord' is not installed: it exists for Linux and Windows on x86-64 only; take pyav")
    return decoder


def open_video(path: Path, *, decoder: str = "pyav") -> VideoReader:
    """Open the first video stream of a file and decode its first frame.

    Args:
        decoder: ``"pyav"``, or ``"decord"``, which refuses files it would read wrongly.

    Returns:
        A reader, to be used in a ``with`` block. A damaged stream can make a decoder hang or crash: read untrusted
        clips in a process of their own with a time limit.

    Raises:
        UsageError: See ``check_decoder``.
        VideoError: The file is missing, unreadable, has no video stream or no frame.
    """
    if check_decoder(decoder) == "decord":
        from dataset_tools.video.decord import DecordReader

        return DecordReader(path)
    from dataset_tools.video.pyav import PyavReader

    return PyavReader(path)


def count_frames(path: Path, *, decoder: str = "pyav") -> int:
    """Return how many frames a clip has, by decoding it: headers lie.

    Raises:
        VideoError: See ``open_video`` and ``VideoReader.frames``.
    """
    with open_video(path, decoder=decoder) as reader:
        return sum(1 for _ in reader.frames())

"""Let large tensors reuse memory instead of asking the system for it each time."""

import ctypes
import sys

# Numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tell the C library to keep what this process frees, and return whether that was possible (glibc only).

    By default every tensor of more than a few MB is mapped afresh, and its pages are cleared by the kernel when first
    touched: on a CPU that cost RIFE at 1080p a quarter of its time (2.6 times as many page faults). The process holds
    its peak memory until it ends, so only commands call this, not libraries.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))

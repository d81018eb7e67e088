"""Errors of the toolkit: one base class, one subclass per fact.

A message is one line: name, value, rule, and what to do. ``dataset_tools.common.cli.run`` turns them into exit codes.
"""


class VfiError(Exception):
    """Something went wrong that the user can understand and act on; a command ends with exit code 1."""


class UsageError(VfiError):
    """The command line asks for something impossible; a command ends with exit code 2."""


class VideoError(VfiError):
    """A clip cannot be read, or not to the frame."""


class ManifestError(VfiError):
    """A manifest is missing, damaged, of a newer version, or names a file outside its folder."""


class FrameError(VfiError):
    """An image file is missing or is not a whole 8-bit RGB image."""


class AssetError(VfiError):
    """A pinned asset cannot be fetched or its hash does not fit."""


class WeightsError(VfiError):
    """A weights file is missing, unsafe, or does not fit the network it is loaded into."""

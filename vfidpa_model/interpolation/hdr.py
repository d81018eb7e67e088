"""HDR facts that hold for a whole video (HDR10): read from a decoded frame, given to the encoders that take them."""

import struct

import av
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.video.pyav import side_data

# AVMasteringDisplayMetadata: red, green, blue and white as x, y, then least and most luminance in cd/m2, all as
# fractions; whether the colours, and the luminances, are known. AVContentLightMetadata: two numbers in cd/m2.
_MASTERING, _LIGHT = struct.Struct("=20i2i"), struct.Struct("=2I")
_OPTION = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
_NAMES = {
    "libx264": ("mastering-display", "cll"),
    "libx265": ("master-display", "max-cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}


def static_hdr(first: av.VideoFrame) -> dict[SideDataType, bytes]:
    """Return what a frame tells about the mastering display and the content's light level, as FFmpeg stores it."""
    wanted = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
    found = {kind: side_data(first, kind) for kind in wanted}
    return {kind: bytes(data) for kind, data in found.items() if data is not None}


def keeps_hdr(codec: str) -> bool:
    """Return whether an encoder stores these facts in its stream."""
    return codec in _OPTION


def with_hdr(options: dict[str, str], codec: str, first: av.VideoFrame) -> dict[str, str]:
    """Return encoder options with the HDR facts of a frame added, where there are any and the encoder takes them."""
    facts = static_hdr(first)
    if not facts or not keeps_hdr(codec):
        return options
    display_name, light_name = _NAMES[codec]
    params = [options[_OPTION[codec]]] if _OPTION[codec] in options else []
    display = facts.get(SideDataType.MASTERING_DISPLAY_METADATA)
    if display is not None and len(display) >= _MASTERING.size:
        *values, has_colours, has_luminances = _MASTERING.unpack_from(display)
        if has_colours and has_luminances:
            numbers = [top / (bottom or 1) for top, bottom in zip(values[::2], values[1::2], strict=True)]
            params.append(f"{display_name}={_display(numbers, whole=codec != 'libsvtav1')}")
    light = facts.get(SideDataType.CONTENT_LIGHT_LEVEL)
    if light is not None and len(light) >= _LIGHT.size:
        most, average = _LIGHT.unpack_from(light)
        params.append(f"{light_name}={most},{average}")
    return {**options, _OPTION[codec]: ":".join(params)} if params else options


def _display(numbers: list[float], *, whole: bool) -> str:
    """Return the text all these encoders read; ``whole``: in the units of the standard, else in plain numbers."""
    colours = [f"{value * 50_000:.0f}" if whole else f"{value:.5f}" for value in numbers[:8]]
    least, most = (f"{value * 10_000:.0f}" if whole else f"{value:.4f}" for value in numbers[8:])
    red, green, blue, white = (f"({x},{y})" for x, y in zip(colours[::2], colours[1::2], strict=True))
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"

"""What an output will not have of its input, in one line each: said before any work is done."""

from collections.abc import Collection

import av
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.video.pyav import PyavReader, side_data
from vfidpa_model.interpolation.colours import has_alpha, is_rgb
from vfidpa_model.interpolation.encoders import is_halved
from vfidpa_model.interpolation.hdr import keeps_hdr, static_hdr
from vfidpa_model.interpolation.tracks import TrackPlan, tracks_changed, tracks_left_out
from vfidpa_model.interpolation.writer import Encoding

_NOT_KEPT = {
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision",
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DYNAMIC_HDR_VIVID: "HDR Vivid",
    SideDataType.SPHERICAL: "360-degree video",
    SideDataType.STEREO3D: "3-D video",
}


def caveats(
    reader: PyavReader,
    first: av.VideoFrame,
    encoding: Encoding,
    container: str,
    *,
    tracks: Collection[TrackPlan],
    keeps_alpha: bool,
) -> list[str]:
    """Return what is left out or taken otherwise than a viewer might expect.

    Args:
        first: The first frame of ``reader``.
        tracks: What is taken over of the other tracks.
        keeps_alpha: The input has transparency.
        container: FFmpeg's name of the output's container.
    """
    found = [f"{track} is left out" for track in tracks_left_out(reader.container, reader.stream, tracks)]
    found += tracks_changed(reader.container, tracks)
    if keeps_alpha and not has_alpha(av.VideoFormat(encoding.pix_fmt)):
        found.append(
            "transparency is left out; .webm, .mov, .gif, .apng and .webp keep it, .mkv with --codec libvpx-vp9 or ffv1"
        )
    bits, kept = (fmt.components[0].bits for fmt in (first.format, av.VideoFormat(encoding.pix_fmt)))
    if kept < bits:
        found.append(f"pictures of {bits} bits become {kept} bits with {encoding.codec}")
    has_colour = not first.format.name.startswith(("gray", "mono")) and not is_rgb(first.format)
    if has_colour and is_halved(av.VideoFormat(encoding.pix_fmt)) and not is_halved(first.format):
        found.append(
            f"colours ({first.format.name}) are halved to 4:2:0, which common players show; --codec {encoding.codec} "
            "keeps more"
        )
    if (encoding.width, encoding.height) != (first.width, first.height):
        found.append(
            f"{first.width}x{first.height} becomes {encoding.width}x{encoding.height}: {encoding.pix_fmt} needs even "
            "sizes, the last column or row is repeated"
        )
    if static_hdr(first) and not keeps_hdr(encoding.codec):
        found.append(f"mastering display and light level (HDR10) are left out with {encoding.codec}")
    marks = dict.fromkeys(name for kind, name in _NOT_KEPT.items() if side_data(first, kind) is not None)
    if container == "matroska" and "stereo_mode" in encoding.metadata:
        marks.pop(_NOT_KEPT[SideDataType.STEREO3D], None)  # there it is a tag, and kept
    found += [f"what marks it as {name} is left out" for name in marks]
    return found

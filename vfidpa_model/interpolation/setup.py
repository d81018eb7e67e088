"""What is decided before the first network runs: how the output is encoded, and what makes a job the same job."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error
from av.codec.codec import find_best_pix_fmt_of_list

from dataset_tools.errors import VideoError
from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolation.colours import FrameConverter, has_alpha
from vfidpa_model.interpolation.encoders import (
    EncoderChoice,
    checked_format,
    encoded_size,
    encoder_name,
    encoder_options,
    picture_format,
)
from vfidpa_model.interpolation.hdr import with_hdr
from vfidpa_model.interpolation.job import Job
from vfidpa_model.interpolation.pictures import BETWEEN, CODECS, MOVING
from vfidpa_model.interpolation.timeline import Timeline
from vfidpa_model.interpolation.tracks import kept_stream_tags
from vfidpa_model.interpolation.writer import Encoding, describe_input
from vfidpa_model.routing.dynamic import Pipeline

PIPES = ("yuv4mpegpipe", "rawvideo")  # FFmpeg's names of what goes to standard output
_Y4M = ("yuv420p", "yuv422p", "yuv444p", "gray")  # more bits are beyond the first version, which all programs read


def plan_encoding(
    job: Job, timeline: Timeline, reader: PyavReader, first: av.VideoFrame, *, keeps_alpha: bool
) -> tuple[FrameConverter, Encoding]:
    """Return how the frames of an input are converted and encoded.

    Args:
        first: The first frame of ``reader``.
        keeps_alpha: The input has transparency.

    Raises:
        VideoError: The encoder is not there or takes no such options, or the colours cannot be converted.
    """
    choice = job.encoder
    if job.container in MOVING:
        encoder_options(MOVING[job.container][0], choice)  # of the output; the pieces are kept without loss
        codec, options = BETWEEN, encoder_options(BETWEEN, EncoderChoice())
    elif job.container in PIPES:
        codec, options = "rawvideo", {}
    else:
        if job.container == "image2" and choice.codec is None:
            choice = replace(choice, codec=CODECS[job.target.suffix.lower().removeprefix(".")])
        codec = encoder_name(choice, container=job.container, first=first, keeps_alpha=keeps_alpha)
        options = encoder_options(codec, choice)
    if job.container in MOVING:
        pix_fmt = "bgra" if keeps_alpha else "bgr0"
    elif job.container in PIPES:
        pix_fmt = choice.options.get("pix_fmt") or pipe_format(first, job.container)
    elif "pix_fmt" in choice.options:
        pix_fmt = checked_format(codec, choice.options["pix_fmt"])
    else:
        pix_fmt = picture_format(
            codec, first, is_chosen=choice.codec is not None, keeps_alpha=keeps_alpha, container=job.container
        )
    is_vp9_with_alpha = codec == "libvpx-vp9" and has_alpha(av.VideoFormat(pix_fmt))
    metadata = kept_stream_tags(reader.stream.metadata)
    if is_vp9_with_alpha:
        options["auto-alt-ref"], metadata["alpha_mode"] = "0", "1"  # its hidden frames have no transparency
    tags, matrix = describe_input(reader.stream, first, pix_fmt)
    width, height = encoded_size(codec, pix_fmt, first)
    encoding = Encoding(
        codec=codec,
        options=with_hdr(options, codec, first),
        pix_fmt=pix_fmt,
        width=width,
        height=height,
        time_base=timeline.time_base((reader.stream.time_base or 1 / reader.usual_fps) / job.stretch.denominator),
        fps=timeline.output_fps(reader.usual_fps / job.stretch),
        tags=tags,
        matrix=matrix,
        metadata=metadata,
        disposition=int(reader.stream.disposition),
    )
    converter = FrameConverter(pix_fmt, tags, like=first, size=(width, height))
    try:
        converter.made(converter.pixels(first))
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            f"clip {job.source}: pictures in {first.format.name} with colour matrix {int(first.colorspace)} cannot be "
            f"converted ({getattr(error, 'strerror', None) or error}); convert the file to BT.709 first"
        ) from error
    return converter, encoding


def pipe_format(first: av.VideoFrame, container: str) -> str:
    """Return the picture format for a pipe: that of the input, where Y4M has it, else the closest one."""
    if container != "yuv4mpegpipe":
        return first.format.name
    closest, _ = find_best_pix_fmt_of_list(_Y4M, first.format.name, False)
    return closest.name if closest else _Y4M[0]


def identity(job: Job, dynamic: Pipeline, *, piece_frames: int) -> dict[str, Any]:
    """Return everything that decides what the pieces look like, by the name of its option."""
    return {
        "input": job.input.facts(),
        "--factor": job.timeline and job.timeline.factor,
        "--fps": job.timeline and job.timeline.fps and str(job.timeline.fps),
        "--fast": [dynamic.fast.name, dynamic.fast.weights_sha256],
        "--accurate": [dynamic.accurate.name, dynamic.accurate.weights_sha256],
        "--assessor": job.routing.assessor and str(job.routing.assessor),
        **dynamic.setting,
        "--precision": job.routing.precision,
        "--codec": job.encoder.codec,
        "--crf": job.encoder.crf,
        "--bitrate": job.encoder.bitrate,
        "--preset": job.encoder.preset,
        "--encoder-option": [f"{name}={value}" for name, value in sorted(job.encoder.options.items())],
        "--container": job.container,
        "--scene-threshold": job.cut_levels,
        "--damage": job.damage,
        "--max-gap": _told(job.max_gap),
        "--flow-scale": job.routing.flow_scale,
        "--slow-motion": str(job.stretch),
        "--start": _told(job.start),
        "--duration": _told(job.duration),
        "--duplicates": job.duplicates,
        "--loop": job.is_loop,
        "--deinterlace": job.deinterlaces,
        "frames per piece": piece_frames,
    }


def _told(value: Fraction | None) -> str | None:
    return None if value is None else str(value)

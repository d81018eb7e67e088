"""The options of ``vfidpa_model.interpolate``: type and help of each. Defaults are the command's."""

from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN... OUT",
        help="Video file (or several, or a folder of them), numbered pictures (a folder, or a pattern like "
        "frames/%06d.png), or - for Y4M on standard input. Then what to write: .mp4, .mov, .mkv, .webm, .gif, "
        ".apng, .webp, a pattern for pictures, - for Y4M, or a folder for several.",
    ),
]
Factor = Annotated[int | None, typer.Option(help="Frames for each one, 2 to 32; time stamps are kept. Default 2.")]
Fps = Annotated[str | None, typer.Option(help="Frames per second instead, e.g. 60 or 60000/1001.")]
Prefer = Annotated[
    str,
    typer.Option(
        help="What frames shall be best in: psnr (rife, refined where that pays) or lpips (rife-v4 for all frames: "
        "nothing here is better in LPIPS, and it takes no longer than rife)."
    ),
]
Fast = Annotated[str | None, typer.Option(help="Interpolator for easy pairs. Default: rife.")]
Accurate = Annotated[
    str | None,
    typer.Option(
        help="Interpolator for what is hard. Default: rife-refined, which goes on from rife; for whole pairs rife-full."
    ),
]
FastWeights = Annotated[Path | None, typer.Option(help="Weights file of --fast.")]
AccurateWeights = Annotated[Path | None, typer.Option(help="Weights file of --accurate.")]
Effort = Annotated[
    float | None,
    typer.Option(
        help="Share of the accurate interpolator's extra cost that may be spent, on the parts of frames that need "
        "it: 0 is all fast, 1 all accurate. Default 0.4."
    ),
]
Assessor = Annotated[Path | None, typer.Option(help="VFI-DPA: RUN folder of train, or a checkpoint.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Pairs with a score up to it are fast. With --assessor on the level scale (default 2.5); without, "
        "mean motion in pixels at 256 rows."
    ),
]
Budget = Annotated[float | None, typer.Option(help="Instead: largest share of the accurate model's time.")]
Quality = Annotated[float | None, typer.Option(help="Instead: largest loss against the accurate model, dB.")]
Calibration = Annotated[
    Path | None, typer.Option(help="Result of vfidpa_model.calibration, for --budget and --quality.")
]
SlowMotion = Annotated[
    str | None,
    typer.Option(help="How many times as long it lasts, e.g. 4: frames are added, sound keeps its pitch."),
]
Start = Annotated[float | None, typer.Option(help="Begin so many seconds after the first frame.")]
Duration = Annotated[float | None, typer.Option(help="Use so many seconds of the input.")]
Duplicates = Annotated[
    str,
    typer.Option(help="Repeated frames (animation on twos and threes): keep, or smooth the motion over them."),
]
Loop = Annotated[bool, typer.Option("--loop", help="The clip repeats: put frames between its last and first, too.")]
Deinterlace = Annotated[bool, typer.Option("--deinterlace", help="Fill in the lines of interlaced pictures (bwdif).")]
SceneThreshold = Annotated[
    float | None, typer.Option(help="Smallest change that is a cut, in levels of 255. Default 10.")
]
FlowScale = Annotated[
    float, typer.Option(help="Look for motion at this share of the size: 0.5 for 4K (rife and rife-v4).")
]
SceneCuts = Annotated[bool, typer.Option(help="Repeat the nearer frame across a cut.")]
Codec = Annotated[
    str | None,
    typer.Option(help="FFmpeg encoder. Default: libx264, for 10 bit libx265; for .webm libvpx-vp9, libsvtav1."),
]
Crf = Annotated[int | None, typer.Option(help="Quality of the encoder, lower is better. Default: 18 for x264.")]
Bitrate = Annotated[str | None, typer.Option(help="Bits per second instead of a quality, e.g. 8M.")]
Preset = Annotated[str | None, typer.Option(help="Speed of the encoder, in its own words, e.g. slow.")]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="FFmpeg's option for the encoder, e.g. tune=animation; repeatable."),
]
Container = Annotated[
    str | None,
    typer.Option(help="mp4, mov, mkv, webm, gif, ...; y4m or rawvideo for -. Default: by the name of OUT."),
]
InputFps = Annotated[str, typer.Option(help="Frames per second of numbered pictures and of --raw.")]
Raw = Annotated[
    str | None, typer.Option(metavar="WxH:FORMAT", help="Standard input is raw video, e.g. 1920x1080:yuv420p.")
]
Preview = Annotated[Path | None, typer.Option(help="HTML page with samples of each route.")]
Damage = Annotated[
    str,
    typer.Option(
        help="Where pictures inside cannot be decoded: stop (before any work), or hold the last good one. What is "
        "broken at the beginning or the end is left out, with a note."
    ),
]
MaxGap = Annotated[
    float | None,
    typer.Option(help="Seconds between two frames above which the first is held. Default: five usual steps."),
]
Drop = Annotated[list[str] | None, typer.Option(help="Leave out tracks: audio, subtitles or data; repeatable.")]
Resume = Annotated[bool, typer.Option("--resume", help="Taken, but not needed: the same command goes on.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Remove the finished pieces of an earlier run and begin anew.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Backend = Annotated[
    str,
    typer.Option(
        help="Engine of RIFE's convolutions: torch, ncnn (extra ncnn, CPU), vulkan or vulkan:N (ncnn on a graphics "
        "card); auto: ncnn where installed."
    ),
]
Precision = Annotated[
    str,
    typer.Option(help="Of the interpolators: auto, fp32, fp16 or bf16. auto is fp16 for rife on CUDA, else fp32."),
]

"""How much of UPR-Net's time splatting takes, beside its convolutions: python benchmarks/splatting.py

Random weights, one pair, 720p by default. On a CPU one thread's processor time is taken, so that a busy machine gives
the same answer.
"""

import argparse
import time
from collections import Counter

import torch

from dataset_tools.interpolators import upr_net


def main() -> None:
    """Time the parts of one call and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--channels", type=int, default=16, help="16, 24 or 32: base, large, LARGE")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    is_cuda = options.device.startswith("cuda")
    seconds: Counter[str] = Counter()

    def now():
        if is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if is_cuda else time.process_time()

    def timed(name, function):
        def wrapped(*arguments, **keywords):
            started = now()
            result = function(*arguments, **keywords)
            seconds[name] += now() - started
            return result

        return wrapped

    upr_net.splat = timed("splatting", upr_net.splat)
    upr_net.correlation = timed("correlation", upr_net.correlation)
    for layer in (torch.nn.Conv2d, torch.nn.ConvTranspose2d):
        layer.forward = timed("convolutions", layer.forward)
    model = upr_net.UPRNet(width=options.channels).to(options.device, memory_format=torch.channels_last).eval()
    frames = torch.rand(2, 1, 3, options.height, options.width, device=options.device)
    model.interpolate(*frames)
    seconds.clear()
    timed("all", model.interpolate)(*frames)
    print(f"{options.width}x{options.height}, {model.name}, {options.device}\n")
    print("| part | seconds | share |\n| --- | --- | --- |")
    for name, value in seconds.most_common():
        print(f"| {name} | {value:.3f} | {value / seconds['all']:.0%} |")


if __name__ == "__main__":
    main()

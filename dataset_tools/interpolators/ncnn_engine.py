"""Running a network's convolutions in ncnn, whose Winograd convolutions PyTorch lacks on a CPU (extra ``ncnn``).

Only what lies in a module's method ``convolutions`` is run there, in single precision; warping and resizing stay in
PyTorch, which does them faster. Graphics cards that PyTorch does not know are reached by ncnn's Vulkan.
"""

import importlib.util
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataset_tools.interpolators.ncnn_graph import NcnnGraph, describe

_METHOD = "convolutions"
_HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


def is_installed() -> bool:
    """Return whether the ``ncnn`` package is there."""
    return importlib.util.find_spec("ncnn") is not None


def offers_ncnn(model: object) -> bool:
    """Return whether a network has parts that ``use_ncnn`` would run."""
    return isinstance(model, nn.Module) and any(hasattr(type(part), _METHOD) for part in model.modules())


def num_cards() -> int:
    """Return the number of Vulkan devices, a software one included."""
    import ncnn

    return int(ncnn.get_gpu_count())


def use_ncnn(model: nn.Module, *, card: int | None = None) -> None:
    """Have ncnn run every part of ``model`` that keeps its convolutions in a method ``convolutions``.

    The weights are those of now; the model must stay on the CPU and in single precision.

    Args:
        card: Number of the Vulkan device that computes; ``None`` for the CPU.
    """
    for part in model.modules():
        if hasattr(type(part), _METHOD):
            setattr(part, _METHOD, NcnnConvolutions(describe(part), card=card))


class NcnnConvolutions:
    """Stands in for a module's method ``convolutions``; several threads may call it at once.

    As many threads compute as PyTorch would take; ncnn lays its weights out for a number of threads, so that there is
    one network for each number asked for.
    """

    def __init__(self, graph: NcnnGraph, *, card: int | None = None) -> None:
        self._graph, self._card = graph, card
        self._nets: dict[int, Any] = {}
        self._loading = threading.Lock()

    def __call__(self, *tensors: Tensor) -> Any:
        """Return what the method would, of tensors (B, C, H, W), float32, on the CPU."""
        net = self._net(torch.get_num_threads())
        results = [_run(net, self._graph, [tensor[item] for tensor in tensors]) for item in range(len(tensors[0]))]
        outputs = tuple(torch.stack(outputs) for outputs in zip(*results, strict=True))
        return outputs if self._graph.is_tuple else outputs[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> "NcnnConvolutions":
        """Return one that shares the weights and loads its own networks."""
        return NcnnConvolutions(self._graph, card=self._card)

    def _net(self, num_threads: int) -> Any:
        with self._loading:
            if num_threads not in self._nets:
                self._nets[num_threads] = _load(self._graph, num_threads, self._card)
            return self._nets[num_threads]


def _load(graph: NcnnGraph, num_threads: int, card: int | None) -> Any:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = num_threads
    if card is not None:
        net.opt.use_vulkan_compute = True
        net.set_vulkan_device(card)
    for name in _HALVES:
        setattr(net.opt, name, False)
    if net.load_param_mem(graph.text) != 0:
        raise RuntimeError(f"ncnn {ncnn.__version__} cannot read the graph of {', '.join(graph.outputs)}")
    with tempfile.TemporaryDirectory(prefix="vfi-ncnn-") as folder:
        file = Path(folder, "weights.bin")
        file.write_bytes(graph.weights)
        if net.load_model(str(file)) != 0:
            raise RuntimeError(f"ncnn {ncnn.__version__} cannot read the weights of {', '.join(graph.outputs)}")
    return net


def _run(net: Any, graph: NcnnGraph, tensors: list[Tensor]) -> list[Tensor]:
    import ncnn

    extractor = net.create_extractor()
    arrays = [tensor.contiguous().numpy() for tensor in tensors]  # kept: ncnn reads them in place
    for name, array in zip(graph.inputs, arrays, strict=True):
        extractor.input(name, ncnn.Mat(array))
    results = []
    for name in graph.outputs:
        code, found = extractor.extract(name)
        if code != 0:
            sizes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise RuntimeError(
                f"ncnn {ncnn.__version__} cannot compute {name} of {sizes} (code {code}): out of memory?"
            )
        results.append(torch.from_numpy(np.array(found, copy=False)))
    return results

"""A network's convolutions written as an ncnn graph, from the module's own structure and weights.

A module that wants to run in ncnn keeps its convolutions in a method ``convolutions(*tensors)``; PyTorch's symbolic
tracing lists what it does, and each step becomes one layer. So there is one description of a network and two engines.
"""

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

_MAGIC = "7767517"  # first line of a graph
_ADD, _SUBTRACT, _MULTIPLY = 0, 1, 2  # operations of BinaryOp
_LEAKY = 2  # activation of Convolution
_OPERATIONS: dict[Any, int] = {operator.add: _ADD, operator.sub: _SUBTRACT, operator.mul: _MULTIPLY}


@dataclass(frozen=True)
class NcnnGraph:
    """What ncnn loads.

    Attributes:
        text: The layers, in ncnn's param format.
        weights: Their weights, float32, in the order of the layers.
        inputs, outputs: Names of blobs, in the order of the method's arguments and results.
        is_tuple: Whether the method returns a tuple or list.
    """

    text: str
    weights: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_tuple: bool


def describe(module: nn.Module) -> NcnnGraph:
    """Return the graph of ``module.convolutions``.

    Raises:
        NotImplementedError: It does something that no layer is known for here.
    """
    tracer = fx.Tracer()
    tracer.traced_func_name = "convolutions"
    return _Writer(module, tracer.trace(module)).graph()


class _Writer:
    def __init__(self, module: nn.Module, traced: fx.Graph) -> None:
        self._module, self._traced = module, traced
        self._layers: list[tuple[str, str, list[str], str]] = []  # kind, name (also of its blob), inputs, parameters
        self._weights: list[bytes] = []
        self._blob: dict[fx.Node, str] = {}

    def graph(self) -> NcnnGraph:
        inputs: list[str] = []
        result: Any = None
        for node in self._traced.nodes:
            if node.op == "placeholder":
                self._add("Input", node, [])
                inputs.append(node.name)
            elif node.op == "output":
                result = node.args[0]
            elif node.op != "get_attr" and node not in self._blob:  # some are part of a layer already written
                self._write(node)
        is_tuple = isinstance(result, tuple | list)
        outputs = tuple(self._blob[node] for node in (result if is_tuple else [result]))
        return NcnnGraph(self._text(outputs), b"".join(self._weights), tuple(inputs), outputs, is_tuple)

    def _write(self, node: fx.Node) -> None:
        if node.op == "call_module":
            layer = self._module.get_submodule(str(node.target))
            write = _LAYERS.get(type(layer))
            if write is not None:
                write(self, node, layer)
                return
        elif node.target is torch.cat:
            parts: Any = node.args[0]
            self._add("Concat", node, parts, "0=0")
            return
        elif node.target is torch.sigmoid:
            self._add("Sigmoid", node, node.args)
            return
        elif node.target in _OPERATIONS:
            operation, second = _OPERATIONS[node.target], node.args[1]
            if isinstance(second, fx.Node):
                self._add("BinaryOp", node, node.args, f"0={operation}")
            elif isinstance(second, int | float):
                self._add("BinaryOp", node, node.args[:1], f"0={operation} 1=1 2={float(second)}")
            else:
                raise NotImplementedError(f"no ncnn layer is known for {node.format_node()}")
            return
        raise NotImplementedError(f"no ncnn layer is known for {node.format_node()}")

    def _add(self, kind: str, node: fx.Node, inputs: Sequence[Any], parameters: str = "") -> None:
        self._layers.append((kind, node.name, [self._blob[one] for one in inputs], parameters))
        self._blob[node] = node.name

    def _convolution(self, node: fx.Node, layer: nn.Conv2d) -> None:
        weight, bias, last = self._with_residual(node, layer)
        activation, following = "", _only_user(last)
        follower = self._submodule(following)
        if following is not None and isinstance(follower, nn.LeakyReLU):
            activation, last = f" 9={_LEAKY} -23310=1,{follower.negative_slope}", following
        self._weigh("Convolution", node, layer, weight, bias, activation)
        self._blob.update(dict.fromkeys(self._between(node, last), node.name))

    def _with_residual(self, node: fx.Node, layer: nn.Conv2d) -> tuple[Tensor, Tensor, fx.Node]:
        """Return weight and bias, with ``conv(x) * beta + x`` taken into them, and the last node they stand for."""
        assert layer.bias is not None
        weight, bias = layer.weight.detach(), layer.bias.detach()
        product = _only_user(node)
        if product is None or product.target is not operator.mul:
            return weight, bias, node
        factor = product.args[1]
        total = _only_user(product)
        if not isinstance(factor, fx.Node) or factor.op != "get_attr" or total is None:
            return weight, bias, node
        if total.target is not operator.add or total.args[1] is not node.args[0]:
            return weight, bias, node
        beta = self._module.get_parameter(str(factor.target)).detach().flatten()
        weight = weight * beta.view(-1, 1, 1, 1)
        centre = [side // 2 for side in layer.kernel_size]
        weight[:, :, centre[0], centre[1]] += torch.eye(len(beta))
        return weight, bias * beta, total

    def _between(self, first: fx.Node, last: fx.Node) -> list[fx.Node]:
        nodes = [first]
        while nodes[-1] is not last:
            following = _only_user(nodes[-1])
            assert following is not None
            nodes.append(following)
        return nodes

    def _deconvolution(self, node: fx.Node, layer: nn.ConvTranspose2d) -> None:
        assert layer.bias is not None
        self._weigh("Deconvolution", node, layer, layer.weight.detach().transpose(0, 1), layer.bias.detach())

    def _weigh(
        self,
        kind: str,
        node: fx.Node,
        layer: nn.Conv2d | nn.ConvTranspose2d,
        weight: Tensor,
        bias: Tensor,
        more: str = "",
    ) -> None:
        height, width = layer.kernel_size
        if height != width or layer.groups != 1 or set(layer.dilation) != {1} or layer.padding_mode != "zeros":
            raise NotImplementedError(f"{layer} is no plain convolution")
        shape = f"0={len(bias)} 1={width} 3={layer.stride[0]} 4={int(layer.padding[0])} 5=1 6={weight.numel()}"
        self._add(kind, node, node.args[:1], shape + more)
        self._weights += [bytes(4), _raw(weight), _raw(bias)]  # four zeros: what follows is float32

    def _prelu(self, node: fx.Node, layer: nn.PReLU) -> None:
        self._add("PReLU", node, node.args, f"0={layer.num_parameters}")
        self._weights.append(_raw(layer.weight.detach()))

    def _leaky_relu(self, node: fx.Node, layer: nn.LeakyReLU) -> None:
        self._add("ReLU", node, node.args, f"0={layer.negative_slope}")

    def _pixel_shuffle(self, node: fx.Node, layer: nn.PixelShuffle) -> None:
        self._add("PixelShuffle", node, node.args, f"0={layer.upscale_factor}")

    def _submodule(self, node: fx.Node | None) -> nn.Module | None:
        is_module = node is not None and node.op == "call_module"
        return self._module.get_submodule(str(node.target)) if node is not None and is_module else None

    def _text(self, outputs: Sequence[str]) -> str:
        """Return the param file; a blob with several readers is split into one for each."""
        readers = Counter(name for _, _, inputs, _ in self._layers for name in inputs)
        readers.update(name for name in outputs if readers[name])
        taken: dict[str, int] = defaultdict(int)
        lines, num_blobs = [], 0
        for kind, name, inputs, parameters in self._layers:
            blobs = []
            for blob in inputs:
                blobs.append(f"{blob}_{taken[blob]}" if readers[blob] > 1 else blob)
                taken[blob] += 1
            shared = readers[name] > 1
            lines.append(f"{kind} {name} {len(blobs)} 1 {' '.join(blobs)} {name}{'_' if shared else ''} {parameters}")
            num_blobs += 1
            if shared:
                copies = [f"{name}_{number}" for number in range(readers[name])]
                if name in outputs:
                    copies[-1] = name
                lines.append(f"Split {name}_split 1 {len(copies)} {name}_ {' '.join(copies)}")
                num_blobs += len(copies)
        return "\n".join([_MAGIC, f"{len(lines)} {num_blobs}", *lines, ""])


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _raw(tensor: Tensor) -> bytes:
    return np.ascontiguousarray(tensor.cpu().numpy(), dtype="<f4").tobytes()


_LAYERS: dict[type[nn.Module], Callable[[_Writer, fx.Node, Any], None]] = {
    nn.Conv2d: _Writer._convolution,
    nn.ConvTranspose2d: _Writer._deconvolution,
    nn.PReLU: _Writer._prelu,
    nn.LeakyReLU: _Writer._leaky_relu,
    nn.PixelShuffle: _Writer._pixel_shuffle,
}

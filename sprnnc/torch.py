"""Modules that stand in for one layer of nn.LSTM, nn.GRU and nn.RNN, by name and shape; they need PyTorch.

    model.rnn = sprnnc.torch.from_module(model.rnn, batch=8).eval()

They are for inference. CUDA tensors are read and written where they lie, in the order of the current
stream, so that a call can be captured into a CUDA graph; CPU tensors go through the simulator or the plan.
To torch.compile the kernel is one operator, ``sprnnc::recurrence``.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sprnn_runtime import Layer, Unavailable
from sprnn_runtime.layer import open_layer
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from sprnnc.artifact import Artifact
from sprnnc.compiler import compile
from sprnnc.diagnostics import fail
from sprnnc.executors import execute
from sprnnc.importing import from_state_dict

Tensor = Any  # torch.Tensor: torch is not there where types are checked
_NUMBERS = itertools.count(1)
_KERNELS: weakref.WeakValueDictionary[int, _Kernel] = weakref.WeakValueDictionary()
_ON_CPU = ("auto", "sim", "plan", "reference")


def from_module(module: Any, *, batch: int, **options: Any) -> LSTM | GRU | RNN:
    """The same layer, compiled: of an nn.LSTM, nn.GRU or nn.RNN with one layer and one direction.

    ``batch``: the most columns of a call. ``options``: ``cpu``, which runs CPU tensors (``auto``: ``sim`` if
    there is g++, else ``plan``), and those of ``sprnnc.compile``: ``target``, ``dtype``, ``schedule``. The
    default target is the current GPU, or ``sim`` where there is none. Zeros of a pruned weight are left
    out. Raises CompileError E623 for what is no such module, and the compiler's own errors.
    """
    kinds = {torch.nn.LSTM: LSTM, torch.nn.GRU: GRU, torch.nn.RNN: RNN}
    kind = next((ours for theirs, ours in kinds.items() if isinstance(module, theirs)), None)
    if kind is None:
        message = f"{type(module).__name__} is not an nn.LSTM, nn.GRU or nn.RNN"
        raise fail("E623", message, help="give the recurrent module itself: model.rnn, say")
    names = ["num_layers", "bias", "batch_first", "bidirectional"]
    names += ["proj_size"] if kind is LSTM else ["nonlinearity"] if kind is RNN else []
    settings = {name: getattr(module, name) for name in names}
    made = kind(module.input_size, module.hidden_size, **settings)
    made.load_state_dict(module.state_dict())
    made.train(module.training)
    made.build(batch=batch, **options)
    return made


class _Kernel:
    """A compiled layer, on whatever device its input lies. Found by ``number`` from inside the operator."""

    def __init__(self, artifact: Artifact, cpu: str) -> None:
        self.artifact, self._cpu = artifact, cpu
        self.state_names = [s.name for s in artifact.manifest.states]
        self.number = next(_NUMBERS)
        self._layers: dict[object, Layer] = {}
        _KERNELS[self.number] = self

    def run(self, x: Tensor, states: Sequence[Tensor], lengths: Tensor | None) -> list[Tensor]:
        """y [T, B, O] and the states after the last step, of contiguous float32 tensors."""
        given = dict(zip(self.state_names, states, strict=True))
        return self._run_cuda(x, given, lengths) if x.is_cuda else self._run_cpu(x, given, lengths)

    def _run_cuda(self, x: Tensor, given: dict[str, Tensor], lengths: Tensor | None) -> list[Tensor]:
        index = x.device.index
        if index not in self._layers:
            self._layers[index] = open_layer(self.artifact.loaded(), "cuda", device_id=index)
        y = x.new_empty(*x.shape[:2], self.artifact.manifest.output_size)
        after = {name: torch.empty_like(state) for name, state in given.items()}
        if lengths is not None:
            lengths = lengths.to(device=x.device, dtype=torch.int32)
        stream = torch.cuda.current_stream(x.device)
        self._layers[index](x, given, lengths=lengths, stream=stream, out=(y, after))
        return [y, *after.values()]

    def _run_cpu(self, x: Tensor, given: dict[str, Tensor], lengths: Tensor | None) -> list[Tensor]:
        arrays = {name: state.numpy() for name, state in given.items()}
        ends = None if lengths is None else lengths.numpy()
        layer = self._simulator() if self._cpu in ("auto", "sim") else None
        if layer is None:
            device = "plan" if self._cpu == "auto" else self._cpu
            run = execute(self.artifact, x.numpy(), arrays, lengths=ends, device=device)
            y, after = run.y, run.state
        else:
            y, after = layer(x.numpy(), arrays, lengths=ends)
        results = (y, *(after[name] for name in self.state_names))
        return [torch.from_numpy(np.ascontiguousarray(r, np.float32)) for r in results]

    def _simulator(self) -> Layer | None:
        """None where there is no g++, and any device will do."""
        if "sim" not in self._layers:
            try:
                self._layers["sim"] = open_layer(self.artifact.loaded(), "sim")
            except Unavailable:
                if self._cpu == "sim":
                    raise
                self._cpu = "plan"
                return None
        return self._layers["sim"]

    def check(self) -> None:
        for layer in self._layers.values():
            layer.check()


def _recurrence(x: Tensor, states: list[Tensor], lengths: Tensor | None, kernel: int) -> list[Tensor]:
    return _KERNELS[kernel].run(x, states, lengths)


def _shapes_only(x: Tensor, states: list[Tensor], lengths: Tensor | None, kernel: int) -> list[Tensor]:
    y = x.new_empty(*x.shape[:2], _KERNELS[kernel].artifact.manifest.output_size)
    return [y, *(torch.empty_like(state) for state in states)]


_OPERATOR = torch.library.custom_op(
    "sprnnc::recurrence",
    _recurrence,
    mutates_args=(),
    schema="(Tensor x, Tensor[] states, Tensor? lengths, int kernel) -> Tensor[]",
)
_OPERATOR.register_fake(_shapes_only)


class _Recurrent(torch.nn.Module):  # type: ignore[misc]
    """What the three have in common: parameters of PyTorch's names and shapes, and how a call goes.

    It is no subclass of nn.LSTM and the like, since torch.compile breaks its graph at those.
    """

    _origin: Any
    _has_cell = False

    def __init__(self, input_size: int, hidden_size: int, **settings: Any) -> None:
        super().__init__()
        origin = self._origin(input_size, hidden_size, **settings)
        if origin.num_layers != 1 or origin.bidirectional:
            message = f"sprnnc.torch.{type(self).__name__} has one layer and one direction"
            raise fail("E623", message, help="make one for each; a reverse one reads its input turned round")
        for name, parameter in origin.named_parameters():
            self.register_parameter(name, parameter)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional, self.dropout = 1, False, 0.0
        self.bias, self.batch_first, self.mode = origin.bias, origin.batch_first, origin.mode
        self.proj_size = origin.proj_size
        self._kernel: _Kernel | None = None
        self._number = 0

    def build(self, *, batch: int, cpu: str = "auto", target: str | None = None, **options: Any) -> Any:
        """Compiles the weights as they are now, for at most ``batch`` columns, and returns the module.

        To be called again after they have changed; ``load_state_dict`` asks for it. See ``from_module``.
        """
        if cpu not in _ON_CPU:
            raise fail("E601", f"unknown device '{cpu}' for CPU tensors", help=f"expected one of {_ON_CPU}")
        nonlinearity = self.mode.removeprefix("RNN_").lower() if self.mode.startswith("RNN") else None
        (layer,) = from_state_dict(self.state_dict(), nonlinearity, where=type(self).__name__)
        target = _target() if target is None else target
        artifact = compile(layer.source, weights=layer.tensors, batch=batch, target=target, **options)
        assert isinstance(artifact, Artifact)  # the text is that of one layer
        self._kernel = _Kernel(artifact, cpu)
        self._number = self._kernel.number
        return self

    def check(self) -> None:
        """Waits for calls on CUDA tensors; raises WaitTimeout or DeviceError if one of them failed."""
        if self._kernel is not None:
            self._kernel.check()

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As nn.LSTM, nn.GRU or nn.RNN: ``output, h_n``, of an LSTM ``output, (h_n, c_n)``."""
        if not self._number:
            raise fail("E623", "the module is not built", help="set its weights, then call build(batch=...)")
        if self.training and torch.is_grad_enabled():
            help = "call eval(), or run it under torch.no_grad(); train the module it was made from"
            raise fail("E623", "the module is for inference, and is in training mode", help=help)
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        y, states = self._run(x, self._states(x, hx, batched), None)
        if batched and self.batch_first:
            y = y.transpose(0, 1)
        if not batched:
            y, states = y.squeeze(1), [s.squeeze(1) for s in states]
        return y, self._as_given(states)

    def _packed(self, packed: Any, hx: Any) -> Any:
        x, lengths = pad_packed_sequence(packed)
        y, states = self._run(x, self._states(x, hx, True), lengths)
        order = packed.sorted_indices
        if order is not None:
            y, lengths = y.index_select(1, order), lengths[order.to(lengths.device)]
        data = pack_padded_sequence(y, lengths).data
        output = PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices)
        return output, self._as_given(states)

    def _states(self, x: Any, hx: Any, batched: bool) -> list[Tensor]:
        """h, and c of an LSTM, [B, size] each, from what the caller gives: zeros for None."""
        sizes = [self.proj_size or self.hidden_size] + [self.hidden_size] * self._has_cell
        if hx is None:
            return [x.new_zeros(x.shape[1], size) for size in sizes]
        given = hx if self._has_cell else (hx,)
        states = [s if batched else s.unsqueeze(1) for s in given]
        for state, size in zip(states, sizes, strict=True):
            wanted = (1, x.shape[1], size)
            if tuple(state.shape) != wanted:
                raise fail("E604", f"a state has shape {list(state.shape)}, expected {list(wanted)}")
        return [s.squeeze(0) for s in states]

    def _run(self, x: Any, states: list[Tensor], lengths: Any) -> tuple[Tensor, list[Tensor]]:
        """In float32, whatever comes; what goes out is of the input's type, as PyTorch has it."""
        wide = [t.detach().float().contiguous() for t in (x, *states)]
        y, *after = torch.ops.sprnnc.recurrence(wide[0], wide[1:], lengths, self._number)
        return y.to(x.dtype), [s.to(x.dtype).unsqueeze(0) for s in after]

    def _as_given(self, states: list[Tensor]) -> Any:
        return tuple(states) if self._has_cell else states[0]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._kernel, self._number = None, 0

    def __getstate__(self) -> Mapping[str, Any]:
        """Without the kernel: a copy is to be built again."""
        return {**self.__dict__, "_kernel": None, "_number": 0}


class LSTM(_Recurrent):
    """One layer of nn.LSTM, with or without bias and projection."""

    _origin, _has_cell = torch.nn.LSTM, True


class GRU(_Recurrent):
    """One layer of nn.GRU."""

    _origin = torch.nn.GRU


class RNN(_Recurrent):
    """One layer of nn.RNN, of tanh or relu."""

    _origin = torch.nn.RNN


def _target() -> str:
    """That of the current GPU; ``sim`` where there is none."""
    if not torch.cuda.is_available():
        return "sim"
    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"

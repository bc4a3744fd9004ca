"""Count what really runs: every operator that reaches the device, on real tensors or on shapes alone.

:class:`OperationCounter` watches torch's dispatcher, so it sees forward and backward, library code and own code alike.
With ``virtual=True`` floating point tensors live on the meta device (shapes, no data) while indices and masks stay
real on the CPU: a loss that draws a mask and gathers masked frames runs on shapes at any model size.
"""

from __future__ import annotations

import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from greenbench.cost.formulas import Formula, formulas, operator
from greenbench.cost.fused import FusedOperators

# Operators that move, allocate or draw, but do no arithmetic worth naming; views are recognised by their schema.
_FREE_PREFIXES = (
    "empty",
    "new_",
    "zeros",
    "ones",
    "full",
    "fill",
    "zero",
    "arange",
    "clone",
    "copy",
    "_to_copy",
    "cat",
    "stack",
    "detach",
    "lift_fresh",
    "index",
    "_index",
    "gather",
    "scatter",
    "select",
    "slice",
    "masked_fill",
    "masked_scatter",
    "constant_pad",
    "reflection_pad",
    "replication_pad",
    "roll",
    "flip",
    "repeat",
    "split",
    "unsafe_split",
    "unbind",
    "_unsafe_view",
    "rand",
    "bernoulli",
    "uniform",
    "normal",
    "exponential",
    "where",
    "embedding",
    "argsort",
    "sort",
    "topk",
    "nonzero",
    "_local_scalar_dense",
    "_unsafe_index",
    "expand",
    "tril",
    "triu",
    "scalar_tensor",
    "eye",
    "is_same_size",
    "resize",
    "set_",
    "equal",
    "logical",
    "bitwise",
    "_assert",
    "item",
    "native_dropout",
    "one_hot",
    "as_strided",
    "_reshape_alias",
    "view_as",
    "unfold",
    "transpose_",
)

_FREE_NAMES = {"eq", "ne", "lt", "le", "gt", "ge", "t_"}

_UNCOUNTED_BY_CONVENTION = (
    "native_layer_norm",
    "native_batch_norm",
    "native_group_norm",
    "_native_batch_norm",
    "_fused_rms_norm",
    "_softmax",
    "_log_softmax",
    "_thnn_fused",
    "cudnn_batch_norm",
    "batch_norm",
    "glu",
    "cumsum",
    "cumprod",
    "logcumsumexp",
    "logsumexp",
    "_weight_norm",
    "_ctc_loss",
    "nll_loss",
    "binary_cross_entropy",
    "smooth_l1_loss",
    "mse_loss",
    "max_pool",
    "avg_pool",
    "_adaptive_avg_pool",
    "adaptive",
    "upsample",
    "lerp",
    "_foreach",
    "_fused_adam",
    "linspace",
)
"""Arithmetic of a few operations a value, which the field's convention leaves out as it does pointwise ones."""


_TO_COPY = operator("_to_copy")
# Indexing accepts CPU indices for a tensor on another device, and a boolean mask must stay real to have a size.
_KEEPS_INDICES = {operator(name) for name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")}


class OperationCounter(TorchDispatchMode):
    """Sum FLOPs of all operators inside the ``with`` block; see :mod:`greenbench.cost.formulas`.

    After it: ``flops`` in total, ``by_operator``, ``by_module`` (forward only, needs :meth:`watch`), and
    ``uncounted_calls`` and ``uncounted_elements`` of arithmetic operators that have no formula. Of these ``unseen`` are
    the ones whose cost may be large: operators of other libraries, decompositions of matrices, fused kernels.
    """

    supports_higher_order_operators = True

    def __init__(self, *, virtual: bool = False, memory: LiveMemory | None = None) -> None:
        super().__init__()
        self.virtual = virtual
        self.memory = memory
        self.counts = True
        """Off, operators pass uncounted: a thread that outlives the block keeps its counter."""
        self.flops = 0.0
        self.by_operator: defaultdict[str, float] = defaultdict(float)
        self.by_module: defaultdict[str, float] = defaultdict(float)
        self.uncounted_calls: Counter[str] = Counter()
        self.uncounted_elements: Counter[str] = Counter()
        self.unseen: Counter[str] = Counter()
        self._formulas: dict[Any, Formula] = formulas()
        self._open_modules: list[str] = []
        self._basic: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.counts:
            return func(*args, **kwargs)
        if not hasattr(func, "overloadpacket"):
            return self._higher_order(func, args, kwargs)
        packet = func.overloadpacket
        formula = self._formulas.get(packet)
        if formula is None and func not in self._basic:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            self._basic.add(func)
        result = self._run(func, args, kwargs)
        if self.memory is not None:
            self.memory.see(result)
        if formula is not None:
            self._count(packet.__name__, _call(formula, args, kwargs, result))
        elif not func.is_view:
            self._note_uncounted(func, result)
        return result

    def _higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Count operators that take functions (attention with a score function of one's own, loops) as a whole."""
        result, formula = func(*args, **kwargs), self._formulas.get(func)
        if formula is not None:
            self._count(str(func), _call(formula, args, kwargs, result))
        else:
            self.uncounted_calls[str(func)] += 1
            self.unseen[str(func)] += 1
        return result

    def _count(self, name: str, flops: float) -> None:
        self.flops += flops
        self.by_operator[name] += flops
        for module in self._open_modules:
            self.by_module[module] += flops

    def _note_uncounted(self, func: Any, result: Any) -> None:
        name = func.overloadpacket.__name__
        if func.namespace == "aten" and (name in _FREE_NAMES or name.startswith(_FREE_PREFIXES)):
            return
        floating = [t for t in tree_leaves(result) if isinstance(t, Tensor) and t.is_floating_point()]
        if not floating:
            return
        self.uncounted_calls[name] += 1
        self.uncounted_elements[name] += floating[0].numel()
        cheap = torch.Tag.pointwise in func.tags or torch.Tag.reduction in func.tags
        if func.namespace != "aten" or not (cheap or name.startswith(_UNCOUNTED_BY_CONVENTION)):
            self.unseen[f"{func.namespace}::{name}"] += 1

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if not self.virtual:
            return func(*args, **kwargs)
        device = kwargs.get("device")
        moves = func.overloadpacket is _TO_COPY and _is_meta(device)
        if moves and _is_real_index(args[0]) and not _is_float(kwargs.get("dtype")):
            return func(*args, **{**kwargs, "device": torch.device("cpu")})
        if func.overloadpacket in _KEEPS_INDICES:
            return func(*args, **kwargs)
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if any(t.is_meta for t in tensors) and any(not t.is_meta and t.dim() for t in tensors):
            args, kwargs = tree_map(_to_meta, (args, kwargs))
        return func(*args, **kwargs)

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Attribute forward FLOPs to the modules of ``model`` by name while the block runs."""

        def opened(name: str) -> Callable[..., None]:
            return lambda *_: self._open_modules.append(name)

        def closed(*_: Any) -> None:
            self._open_modules.pop()

        handles = []
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_pre_hook(opened(name)))
                handles.append(module.register_forward_hook(closed, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._open_modules.clear()


class LiveMemory:
    """Bytes of tensors alive, as an eager allocator would see them; the model's own tensors are left out.

    Fed by :class:`OperationCounter` with every result; a storage counts once and ends when torch lets go of it. So
    ``peak_bytes`` holds activations saved for the backward pass, gradients and temporaries at their worst moment.
    """

    def __init__(self, model: nn.Module) -> None:
        self._own = {_address(t.untyped_storage()) for t in (*model.parameters(), *model.buffers())}
        self._alive: dict[int, weakref.ref[Any]] = {}
        self.current_bytes = 0
        self.peak_bytes = 0

    def see(self, result: Any) -> None:
        """Register the storages of an operator's result."""
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._register(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)

    def _register(self, storage: Any) -> None:
        key, size = _address(storage), storage.nbytes()
        if key in self._own or key in self._alive:
            return

        def ended(_: Any) -> None:
            self._alive.pop(key, None)
            self.current_bytes -= size

        self._alive[key] = weakref.ref(storage, ended)
        self.current_bytes += size


@contextmanager
def counting(*, virtual: bool, memory: LiveMemory | None = None) -> Iterator[OperationCounter]:
    """Count inside the block, on shapes when ``virtual``, with torch's fused encoder fast path switched off."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    counter = OperationCounter(virtual=virtual, memory=memory)
    with ExitStack() as stack:
        if virtual:
            stack.enter_context(FusedOperators())
        stack.enter_context(counter)
        try:
            yield counter
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)


def _address(storage: Any) -> int:
    """Give what tells storages apart where they hold no data and have no pointer to it."""
    return int(StorageWeakRef(storage).cdata)


def _call(formula: Formula, args: Any, kwargs: Any, result: Any) -> float:
    return float(formula(*args, **kwargs, out_val=result))


def _is_real_index(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and not tensor.is_meta and not tensor.is_floating_point()


def _is_float(dtype: torch.dtype | None) -> bool:
    return dtype is not None and dtype.is_floating_point


def _is_meta(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) and not value.is_meta and value.dim() else value

"""NVIDIA GPUs through NVML: which cards are read, and those that should be and cannot."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import Any

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source
from greenbench.power.sources.cuda_driver import device_uuids
from greenbench.power.sources.cuda_visible import Gpu, depends_on_order, named_gpus, visible_gpus
from greenbench.power.sources.nvml_card import NvmlCard
from greenbench.power.sources.nvml_list import Unlisted, ask, list_gpus
from greenbench.power.sources.process_tree import ProcessTree


def find(names: Sequence[str] | None, tree: ProcessTree | None = None) -> Source:
    """The NVML source, or a null source with the reason.

    ``names`` are the cards to read (see ``named_gpus``); default: those CUDA would see; empty: none.
    """
    if names is not None and not names:
        return NullSource("nvml", "no GPU is asked for")
    library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        ctypes.CDLL(library)  # before importing pynvml: without a driver that import would be wasted
    except OSError:
        return NullSource("nvml", f"{library} cannot be loaded: no NVIDIA driver is installed, or it is not in here")
    try:
        import pynvml
    except ImportError:
        return NullSource("nvml", "the package nvidia-ml-py is not installed: pip install nvidia-ml-py")
    try:
        pynvml.nvmlInit()
        gpus, unlisted = list_gpus(pynvml)
    except pynvml.NVMLError as error:
        return NullSource("nvml", f"NVML does not start: {error}")
    if not gpus:
        reasons = [f"card {card.index} cannot be opened: {card.reason}" for card in unlisted]
        return NullSource("nvml", "; ".join(reasons) or "the NVIDIA driver lists no GPU")
    chosen, notes = _choose(gpus, names)
    if not chosen:
        return NullSource("nvml", "; ".join(notes) or "CUDA_VISIBLE_DEVICES shows no GPU")
    everything = names is None and "CUDA_VISIBLE_DEVICES" not in os.environ
    return NvmlSource(pynvml, chosen, unlisted if everything else [], notes, tree)


def _choose(gpus: list[Gpu], names: Sequence[str] | None) -> tuple[list[tuple[Gpu, bool]], list[str]]:
    ordinal = any(name.startswith("cuda") for name in names or ())
    asks = depends_on_order(os.environ, gpus, ordinal=ordinal) and (names is None or ordinal)
    order = device_uuids() if asks else None
    visible = visible_gpus(os.environ, gpus, order) if names is None else named_gpus(names, os.environ, gpus, order)
    shared = {v.uuid for v in visible.gpus if v.shared}
    chosen = [(gpu, gpu.uuid in shared) for gpu in gpus if gpu.uuid in visible.uuids]
    return chosen, list(visible.warnings)


def _missing(index: int, why: str) -> DeviceInfo:
    remedy = "look at nvidia-smi and the kernel's log, or leave the card out with --devices or CUDA_VISIBLE_DEVICES"
    return DeviceInfo(f"gpu{index}", "nvml", MEASURED, "gpu", missing=f"{why}; {remedy}")


class NvmlSource(Source):
    """The chosen GPUs of this machine."""

    name = "nvml"
    min_period_s = 0.0

    def __init__(
        self,
        nvml: Any,
        chosen: list[tuple[Gpu, bool]],
        unlisted: Sequence[Unlisted] = (),
        notes: Sequence[str] = (),
        tree: ProcessTree | None = None,
    ) -> None:
        self.available = True
        self.reason = "; ".join(notes)
        self._nvml = nvml
        self._tree = tree
        self._cards: list[NvmlCard] = []
        self.devices = [_missing(card.index, f"it cannot be opened: {card.reason}") for card in unlisted]
        for gpu, shared in chosen:
            try:
                self._cards.append(NvmlCard(nvml, gpu, shared=shared))
            except nvml.NVMLError as error:
                self.devices.append(_missing(gpu.index, f"it cannot be opened: {error}"))
        version = ask(nvml, "nvmlSystemGetDriverVersion")
        for card in self._cards:
            card.info.details["driver"] = version
        infos = [*self.devices, *(card.info for card in self._cards)]
        self.devices = sorted(infos, key=lambda info: int(info.device.removeprefix("gpu")))

    def read(self) -> list[Sample]:
        """Read every card once; a costly counter only when it is due."""
        return self._read(full=False)

    def read_full(self) -> list[Sample]:
        """Read every card once, and its counter whatever it costs."""
        return self._read(full=True)

    def _read(self, *, full: bool) -> list[Sample]:
        readings = (card.read(self._tree, full=full) for card in self._cards)
        return [sample for sample in readings if sample is not None]

    def close(self) -> None:
        """Shut NVML down."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return

"""The memory of a card, asked of NVML: no context is made, so the card stays as idle as it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from greenbench.power.sources.cuda_driver import device_uuids
from greenbench.power.sources.cuda_visible import depends_on_order, named_gpus
from greenbench.power.sources.nvml_list import ask, list_gpus


@dataclass(frozen=True)
class CardMemory:
    """A card's, or a slice's, name and whole memory."""

    name: str
    total_bytes: int


def card_memory(device: str) -> CardMemory | None:
    """The memory of ``cuda:N`` as torch numbers it in this environment; None where NVML does not tell."""
    try:
        import pynvml

        pynvml.nvmlInit()
        gpus, _ = list_gpus(pynvml)
    except Exception:  # no driver, no package, or one that does not start: nothing is known then
        return None
    order = device_uuids() if depends_on_order(os.environ, gpus, ordinal=True) else None
    found = named_gpus([device], os.environ, gpus, order).gpus
    if not found:
        return None
    handle = ask(pynvml, "nvmlDeviceGetHandleByUUID", found[0].mig_uuid or found[0].uuid)
    memory: Any = None if handle is None else ask(pynvml, "nvmlDeviceGetMemoryInfo", handle)
    total = getattr(memory, "total", None)
    names = {gpu.uuid: gpu.name for gpu in gpus}
    return CardMemory(names[found[0].uuid], int(total)) if total else None

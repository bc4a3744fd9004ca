"""Which machine a record was made on: card, driver, versions, commit, command."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.gpu_parts.recorder import Options
from greenbench.records.host import describe_host, git_state, package_versions


def machine(options: Options, command: list[str]) -> dict[str, Any]:
    """Facts for the head of the record."""
    host = asdict(describe_host())
    host.pop("hostname"), host.pop("boot_id")
    found: dict[str, Any] = {
        "command": " ".join(command),
        "commit": asdict(git_state()),
        "host": host,
        "python": sys.version.split()[0],
        "packages": package_versions(),
        "cuda": torch.version.cuda,
        "device": options.device,
    }
    if options.on_gpu:
        properties = torch.cuda.get_device_properties(options.device)
        found |= {"card": properties.name, "memory_bytes": properties.total_memory, **_driver()}
        found["capability"] = f"{properties.major}.{properties.minor}"
    return found


def _driver() -> dict[str, Any]:
    import pynvml

    try:
        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        limit_w = pynvml.nvmlDeviceGetPowerManagementLimit(card) / 1000
        return {"driver": str(pynvml.nvmlSystemGetDriverVersion()), "power_limit_w": limit_w}
    except pynvml.NVMLError as error:
        return {"driver": f"not told: {error}"}

"""What can be read on this machine, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from greenbench.errors import ConfigError, did_you_mean
from greenbench.power.sources import amd, apple, nvml, rapl, replay, tdp
from greenbench.power.sources.base import NullSource, Source
from greenbench.power.sources.models import CpuModelSource, RamModelSource
from greenbench.power.sources.process_tree import ProcessTree

NAMES = ("nvml", "amd", "apple", "rapl", "cpu", "ram")


def parse_names(sources: str, where: str = "--sources") -> list[str]:
    """Split ``auto``, ``none`` or a comma list of ``nvml,amd,apple,rapl,cpu,ram,replay:FILE``.

    ``where`` names the option or key in the error.

    Raises:
        ConfigError: an unknown name.
    """
    if sources == "none":
        return []
    names: list[str] = []
    for name in (part.strip() for part in sources.split(",")):
        if name == "auto":
            names.extend(NAMES)
        elif name in NAMES or name.startswith("replay:"):
            names.append(name)
        else:
            allowed = [*NAMES, "auto", "none", "replay:FILE"]
            raise ConfigError(f"{where}: unknown power source {name!r}{did_you_mean(name, allowed)}")
    # Sensors before models: a model steps back where a sensor covers the same part.
    return sorted(dict.fromkeys(names), key=lambda name: NAMES.index(name) if name in NAMES else -1)


def detect(
    sources: str = "auto",
    devices: Sequence[str] | None = None,
    tdp_w: float | None = None,
    tree: ProcessTree | None = None,
) -> list[Source]:
    """Find every wanted source; absent hardware is a null source with a reason.

    Args:
        sources: see ``parse_names``. With ``auto`` the CPU model is used only where no package counter can be
            read, and the memory model only where there is no DRAM counter; naming them explicitly does not
            override that, because the same joules would be counted twice.
        devices: the GPUs to read: ``cuda:N`` and ``hip:N`` as torch counts them here, UUIDs (abbreviated and MIG
            identifiers too); default: what CUDA or HIP would see; empty: none.
        tdp_w: the CPU's TDP in watts (all packages), where the table does not know it.
        tree: the process tree that models attribute to.
    """
    tree = tree or ProcessTree()
    found: list[Source] = []
    for name in parse_names(sources):
        found.append(_find(name, devices, tdp_w, tree, found))
    return found


def _find(
    name: str, devices: Sequence[str] | None, tdp_w: float | None, tree: ProcessTree, found: list[Source]
) -> Source:
    if name.startswith("replay:"):
        return replay.find(Path(name.partition(":")[2]))
    if name == "nvml":
        return nvml.find(devices, tree)
    if name == "amd":
        return amd.find(devices)
    if name in ("cpu", "ram"):
        return _model(name, tdp_w, tree, found)
    return apple.find() if name == "apple" else rapl.find()


def _model(name: str, tdp_w: float | None, tree: ProcessTree, found: list[Source]) -> Source:
    part = {"cpu": "cpu", "ram": "dram"}[name]
    measured = [d.device for s in found for d in s.devices if d.part in (part, "platform") and d.counted]
    if measured:
        return NullSource(name, f"not needed: {', '.join(measured)} is counted already")
    if name == "ram":
        return RamModelSource(tree)
    return CpuModelSource(tdp.find(tdp_w), tree)

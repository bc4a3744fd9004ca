"""What the sampler says about a trial, kept with it: which GPUs it reads, their idle power, and every trouble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from greenbench.config import Suite
from greenbench.metering.idle import record_baseline
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.options import parse_devices
from greenbench.records import MANIFEST, Journal, read_json, write_json

_DETAILS = ("name", "uuid", "pci_bus_id", "index", "driver", "power_limit_w", "mig")


def device_name(name: str) -> str:
    """Return [train] device as the sampler calls it: ``cuda:0``, ``hip:0`` where torch is built for ROCm, or ``cpu``.

    Raises :class:`DeviceError` for a device that is not there.
    """
    import torch

    from greenbench.train.precision import pick_device

    device = pick_device(name)
    kind = "hip" if device.type == "cuda" and torch.version.hip else device.type
    return f"{kind}:{device.index or 0}" if device.type == "cuda" else device.type


def cards_to_read(suite: Suite, device: str) -> list[str] | None:
    """Return the GPUs whose joules are the trial's: the one it trains on, or those of ``[power] devices``.

    ``device`` is what :func:`device_name` returns. A trial without a GPU reads none, unless its sources name a source
    of GPUs: idle cards beside it are not what it burns. None leaves the choice to the environment.
    """
    if suite.power.devices != "auto":
        return parse_devices(suite.power.devices, "[power] devices")
    if device.startswith(("cuda", "hip")):
        return [device]
    return [] if suite.power.sources == "auto" else None


def gpus_of(ready: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the GPUs that the sampler reads, with driver, power limit in watts and MIG mode; absent ones are None."""
    return [
        {**{key: device["details"].get(key) for key in _DETAILS}, "shared": device["shared"], "source": source["name"]}
        for source in ready.get("sources", ())
        for device in source["devices"]
        if device["part"] == "gpu"
    ]


def record_sensors(folder: Path, ready: Mapping[str, Any], events: Journal) -> None:
    """Write what the sampler reads into the manifest; a resumed trial on other cards is warned about."""
    if not ready:  # no sampler: what an earlier session found stays true
        return
    manifest, gpus = read_json(folder / MANIFEST), gpus_of(ready)
    before = manifest.get("gpu") or []
    if before and gpus and _kinds(before) != _kinds(gpus):
        text = f"resumed on other GPUs: {', '.join(_kinds(gpus))} after {', '.join(_kinds(before))}"
        events.write(event="warning", text=f"{text}; its figures mix both")
    write_json(folder / MANIFEST, {**manifest, "sensors": dict(ready), "gpu": gpus or before})


def _kinds(gpus: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(f"{g.get('name')} ({g.get('power_limit_w')} W, MIG {g.get('mig')})" for g in gpus)


def record_idle(suite: Suite, sampler: SamplerProcess, events: Journal, device: str) -> None:
    """Record the idle stretch before a trial and, where it trains with CUDA, one with an empty context."""
    seconds = suite.protocol.idle_seconds
    if seconds <= 0:
        return
    on_gpu = device.startswith("cuda")

    def note(edge: str, stretch: str) -> None:
        events.write(event=edge, phase=stretch, **({"charged": False} if edge == "begin" else {}))

    baseline = record_baseline(sampler, seconds, context=on_gpu, note=note)
    if on_gpu and baseline.reason:
        events.write(event="warning", text=f"no idle power with an empty CUDA context: {baseline.reason}")


def record_troubles(events: Journal, troubles: Iterable[str]) -> None:
    """Write the sampler's warnings down, so that they reach the result."""
    for text in troubles:
        try:
            events.write(event="warning", text=text)
        except OSError:  # the disk is full: the result, if it can be written, has the journal's own warning
            return


def other_card(manifest: Mapping[str, Any], uuid: str) -> list[str]:
    """Return a warning where the card that torch computes on is none of those that are metered.

    ``uuid`` is torch's, without NVML's prefix. A slice of a card has a UUID of its own and is not compared.
    """
    cards = [g for g in manifest.get("gpu") or () if g.get("source") == "nvml"]
    if not uuid or not cards or any(g.get("shared") for g in cards):
        return []
    metered = [str(g.get("uuid")) for g in cards]
    if _digits(uuid) in {_digits(text) for text in metered}:
        return []
    return [f"the trial computes on GPU-{uuid}, but {', '.join(metered)} was metered: its joules are another card's"]


def _digits(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").replace("-", "")

"""What the sampler says about a trial, kept with it: which GPUs it reads, their idle power, and every trouble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from greenbench.config import Suite
from greenbench.metering.idle import record_baseline
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.options import parse_devices
from greenbench.records import SENSORS, Gpu, Journal, Trial, write_json
from greenbench.records.sensors import sensors_of


def device_name(name: str) -> str:
    """Name [train] device as the sampler calls it: ``cuda:0``, ``hip:0`` where torch is built for ROCm, or ``cpu``.

    Raises:
        DeviceError: a device that is not there.
    """
    import torch

    from greenbench.train.precision import pick_device

    device = pick_device(name)
    kind = "hip" if device.type == "cuda" and torch.version.hip else device.type
    return f"{kind}:{device.index or 0}" if device.type == "cuda" else device.type


def cards_to_read(suite: Suite, device: str) -> list[str] | None:
    """Choose the GPUs whose joules are the trial's: the one it trains on, or those of ``[power] devices``.

    ``device`` is what :func:`device_name` returns. A trial without a GPU reads none, unless its sources name a source
    of GPUs: idle cards beside it are not what it uses. None leaves the choice to the environment.
    """
    if suite.power.devices != "auto":
        return parse_devices(suite.power.devices, "[power] devices")
    if device.startswith(("cuda", "hip")):
        return [device]
    return [] if suite.power.sources == "auto" else None


def record_sensors(trial: Trial, ready: Mapping[str, object], events: Journal) -> Trial:
    """Write down what the sampler reads; a resumed trial on other cards is warned about.

    Returns the trial with these sensors. Without a sampler, what an earlier session found stays true.
    """
    if not ready:
        return trial
    sensors, before = sensors_of(ready), trial.sensors.gpus
    if before and sensors.gpus and _kinds(before) != _kinds(sensors.gpus):
        text = f"resumed on other GPUs: {', '.join(_kinds(sensors.gpus))} after {', '.join(_kinds(before))}"
        events.write(event="warning", text=f"{text}; its figures mix both")
    sensors = replace(sensors, gpus=sensors.gpus or before)
    write_json(trial.path / SENSORS, sensors)
    return replace(trial, sensors=sensors)


def _kinds(gpus: Iterable[Gpu]) -> list[str]:
    return sorted(f"{gpu.name} ({gpu.power_limit_w} W, MIG {gpu.mig})" for gpu in gpus)


def record_idle(suite: Suite, sampler: SamplerProcess, events: Journal, device: str) -> None:
    """Record the idle interval before a trial and, where it trains with CUDA, one with an empty context."""
    seconds = suite.protocol.idle_seconds
    if seconds <= 0:
        return
    on_gpu = device.startswith("cuda")

    def note(edge: str, phase: str) -> None:
        events.write(event=edge, phase=phase, **({"charged": False} if edge == "begin" else {}))

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


def other_card(gpus: Sequence[Gpu], uuid: str) -> list[str]:
    """Warn where the card that torch computes on is none of those that are metered.

    ``uuid`` is torch's, without NVML's prefix. A slice of a card has a UUID of its own and is not compared.
    """
    cards = [gpu for gpu in gpus if gpu.source == "nvml"]
    if not uuid or not cards or any(gpu.shared for gpu in cards):
        return []
    metered = [str(gpu.uuid) for gpu in cards]
    if _digits(uuid) in {_digits(text) for text in metered}:
        return []
    return [f"the trial computes on GPU-{uuid}, but {', '.join(metered)} was metered: its joules are another card's"]


def _digits(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").replace("-", "")

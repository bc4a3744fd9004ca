"""What a device cannot have done: one rule for readings as they come and for recorded ones.

A sensor that fails seldom says so. It goes on with the last value, with nothing, with the largest number that fits,
with another socket's. What can be told is what the device cannot have done.
"""

from __future__ import annotations

import math

from greenbench.power.samples import MODELLED, DeviceInfo

# What one device of a kind cannot exceed, far above any that is sold: only absurd readings lie beyond. Sources that
# know the device's own limit say so in ``DeviceInfo.limit_w``.
LIMITS_W = {"cpu": 2_000.0, "dram": 1_000.0, "gpu": 3_000.0, "accelerator": 3_000.0, "platform": 20_000.0}
_UNKNOWN_LIMIT_W = 1e6
_UPDATE_S = 0.1  # of a counter whose period is not known
STILL_S = 1.0  # a counter that is slower than this says nothing of a device at work
_STILL_PERIODS = 10
CATCH_UP = 0.5  # a step after a standstill that holds at least this share of what was drawn meanwhile makes up for it


def limit_w(info: DeviceInfo) -> float:
    """More than this the device cannot draw, in watts."""
    return info.limit_w or LIMITS_W.get(info.part, _UNKNOWN_LIMIT_W)


def impossible_power(info: DeviceInfo, power_w: float) -> str:
    """Why a power reading cannot be true; empty where it can.

    A graphics card that answers is switched on, and so draws more than nothing.
    """
    if math.isnan(power_w) or math.isinf(power_w) or power_w < 0:
        return f"{power_w:g} W"
    if info.kind == MODELLED:
        return ""
    if power_w > limit_w(info):
        return f"{power_w:.4g} W, more than the {limit_w(info):.4g} W that it can draw"
    return "0 W from a card that answers" if power_w == 0 and info.part == "gpu" else ""


def most_j(info: DeviceInfo, elapsed_s: float) -> float:
    """More than this a counter cannot have gained between two readings ``elapsed_s`` apart, in joules.

    A model has no limit here: it may find out late what was used before.
    """
    if info.kind == MODELLED:
        return math.inf
    return limit_w(info) * (elapsed_s + (info.update_period_s or _UPDATE_S))


def still_s(info: DeviceInfo) -> float:
    """A counter that has not moved for this long stands still."""
    return max(STILL_S, _STILL_PERIODS * (info.update_period_s or _UPDATE_S))

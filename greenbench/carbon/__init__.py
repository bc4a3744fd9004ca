"""Joules to grams of CO2 equivalent: the grid's factor, data-centre overhead, embodied carbon, each on its own.

Energy is never touched: the factor, PUE and embodied carbon are separate figures that are applied afterwards.
"""

from greenbench.carbon.account import Account, account
from greenbench.carbon.embodied import (
    DEVICES,
    Embodied,
    EmbodiedUse,
    devices_in_use,
    embodied_for,
    embodied_g,
    gpu_names,
    sci,
    with_pue,
)
from greenbench.carbon.factors import HINT, Factor, emissions_g, factor_for, known_regions
from greenbench.carbon.grid import Grid, find_grid
from greenbench.carbon.hourly import HourlyFactors, Interval, read_hourly
from greenbench.carbon.live import live_factor

__all__ = [
    "DEVICES",
    "HINT",
    "Account",
    "Embodied",
    "EmbodiedUse",
    "Factor",
    "Grid",
    "HourlyFactors",
    "Interval",
    "account",
    "devices_in_use",
    "embodied_for",
    "embodied_g",
    "emissions_g",
    "factor_for",
    "find_grid",
    "gpu_names",
    "known_regions",
    "live_factor",
    "read_hourly",
    "sci",
    "with_pue",
]

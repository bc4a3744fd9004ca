"""Joules to grams of CO2 equivalent: the grid's factor, data-centre overhead, embodied carbon, each on its own.

Energy is never touched: the factor, PUE and embodied carbon are separate figures that are applied afterwards.
"""

from greenbench.carbon.embodied import DEVICES, Embodied, embodied_for, embodied_g, sci, with_pue
from greenbench.carbon.factors import HINT, Factor, emissions_g, factor_for, known_regions
from greenbench.carbon.hourly import HourlyFactors, read_hourly
from greenbench.carbon.live import live_factor

__all__ = [
    "DEVICES",
    "HINT",
    "Embodied",
    "Factor",
    "HourlyFactors",
    "embodied_for",
    "embodied_g",
    "emissions_g",
    "factor_for",
    "known_regions",
    "live_factor",
    "read_hourly",
    "sci",
    "with_pue",
]

"""Arms and settings: the trials of one model, and the arms that may be held against each other."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import cached_property

from greenbench.metrics import METRICS
from greenbench.records import Trial


@dataclass(frozen=True, eq=False)
class Arm:
    """All trials of one contestant (or control) under one setting."""

    label: str
    control: str
    index: int
    trials: tuple[Trial, ...]
    _known: dict[str, dict[int, float]] = field(default_factory=dict, repr=False)

    @property
    def of(self) -> str:
        """The model whose weights a random control draws; empty for everything else."""
        kind, _, label = self.control.partition(":")
        return (label or self.trials[0].card) if kind == "random" else ""

    @cached_property
    def counted(self) -> list[Trial]:
        """The trials whose figures may be used: finished, not failed and not marked invalid."""
        return [trial for trial in self.trials if trial.usable]

    def values(self, metric: str) -> dict[int, float]:
        """The figures by seed; seeds without the figure are missing."""
        if metric not in self._known:
            found = {trial.seed: trial.figure(metric) for trial in self.counted}
            self._known[metric] = {seed: value for seed, value in found.items() if value is not None}
        return self._known[metric]

    def mean(self, metric: str) -> float | None:
        """The mean over seeds, or ``None`` where no trial has the figure."""
        values = list(self.values(metric).values())
        return statistics.fmean(values) if values else None

    def spread(self, metric: str) -> float | None:
        """The standard deviation over seeds; it needs two."""
        values = list(self.values(metric).values())
        return statistics.stdev(values) if len(values) > 1 else None

    def energy_range(self, metric: str) -> tuple[float, float] | None:
        """The range of the meter or of the power model, as mean bounds over seeds; None where any run lacks it.

        It is no interval over seeds: the runs of one machine share the error of its meter, so it does not shrink.
        """
        records = [t.energy.total if metric == "energy_total_j" else t.energy.budgeted for t in self.counted]
        low, high = [r.energy_low_j for r in records], [r.energy_high_j for r in records]
        if not records or None in low or None in high:
            return None
        return statistics.fmean(v for v in low if v is not None), statistics.fmean(v for v in high if v is not None)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % t interval of the mean over seeds; it needs two."""
        from greenbench.stats import t_interval

        values = list(self.values(metric).values())
        if len(values) < 2:
            return None
        found = t_interval(values)
        return found.low, found.high

    @property
    def energy_kind(self) -> str:
        """How the joules came about: ``measured``, ``modelled``, ``mixed`` or empty."""
        kinds = {trial.energy_kind for trial in self.counted} - {""}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""

    @property
    def representative(self) -> Trial | None:
        """The trial whose energy is nearest to the arm's median: what a timeline shows."""
        trials = self.counted
        if not trials:
            return None
        energies = [trial.figure("energy_total_j") or 0.0 for trial in trials]
        middle = statistics.median(energies)
        return min(zip(trials, energies, strict=True), key=lambda pair: abs(pair[1] - middle))[0]


@dataclass(frozen=True, eq=False)
class Setting:
    """Trials that may be compared: one machine, device, dtype, data and budget."""

    machine: dict[str, str]
    keys: dict[str, str]
    suites: tuple[str, ...]
    arms: tuple[Arm, ...]
    baseline: Arm | None
    trials: tuple[Trial, ...] = field(repr=False)
    prefix: str = ""
    """Put before element ids and figure names, so that several settings share one page."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how these trials were put together."""
    remarks: tuple[str, ...] = ()
    """What a reader should know, too, though it spoils no figure."""

    @cached_property
    def contestants(self) -> list[Arm]:
        """The arms that are no controls."""
        return [arm for arm in self.arms if not arm.control]

    @cached_property
    def controls(self) -> list[Arm]:
        """The controls."""
        return [arm for arm in self.arms if arm.control]

    @cached_property
    def own_random(self) -> dict[Arm, Arm]:
        """The control with a contestant's own weights as they were drawn, for contestants that have one."""
        models: dict[str, list[Arm]] = {}
        for arm in self.contestants:
            models.setdefault(arm.trials[0].label, []).append(arm)
        found: dict[Arm, Arm] = {}
        for control in self.controls:
            fitting = models.get(control.trials[0].drawn_from or "", [])
            # A model in several sizes or runs has no single control; seeds of `random` and `random:MODEL` are the same.
            if len(fitting) == 1:
                found.setdefault(fitting[0], control)
        return found

    @cached_property
    def headline(self) -> str | None:
        """The quality metric that most contestants have; the registry's order breaks ties."""
        counts = {
            name: sum(1 for arm in self.contestants or self.arms if arm.values(name))
            for name, metric in METRICS.items()
            if metric.quality
        }
        best = max(counts.values(), default=0)
        return next((name for name, count in counts.items() if count == best and best), None)

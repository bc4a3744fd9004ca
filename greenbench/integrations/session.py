"""A metered training, step by step: what the trainers' callbacks call, and what a loop of one's own can."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from greenbench.errors import ConfigError
from greenbench.metering.meter import Meter

T = TypeVar("T")
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


def first_of_node() -> bool:
    """Whether this process is the one of its node that meters: ranks of a node share its sensors."""
    ranks = [os.environ[name] for name in _LOCAL_RANKS if name in os.environ]
    return not ranks or ranks[0] == "0"


class EnergySession:
    """The joules, watts and grams of a training, and whether its budget is spent.

    Under several processes a node's first one meters the node, once; ``spent`` is true for all once it is for one.

    Args:
        joules: the budget in joules; of the three budgets at most one is given.
        seconds: the budget in seconds.
        grams_co2e: the budget in grams of CO2e, which needs a region.
        record: a folder to leave a record in; this and the following as for ``greenbench.Meter``.
        label: the record's name.
        region: where the electricity comes from.
        sources: what is read.

    Raises:
        ConfigError: two budgets, one that is not positive, or one in grams without a region.
    """

    def __init__(
        self,
        *,
        joules: float | None = None,
        seconds: float | None = None,
        grams_co2e: float | None = None,
        record: Path | str | None = None,
        label: str = "",
        region: str | None = None,
        sources: str = "auto",
    ) -> None:
        given = {"joules": joules, "seconds": seconds, "grams_co2e": grams_co2e}
        limits = {kind: limit for kind, limit in given.items() if limit is not None}
        if len(limits) > 1:
            raise ConfigError(f"budget: {' and '.join(limits)} are given; a training has one budget")
        for kind, limit in limits.items():
            if not 0 < limit < float("inf"):
                raise ConfigError(f"budget {kind} = {limit}: a positive number is needed")
        if grams_co2e is not None and region is None:
            raise ConfigError("budget grams_co2e: needs a region, for example region='FRA'")
        self.budget = next(iter(limits.items()), None)
        self.stopped_by_budget = False
        self.meter = Meter(record=record, label=label, region=region, sources=sources) if first_of_node() else None
        self._phases = contextlib.ExitStack()
        self._running = False
        self._begin_s = self._last_s = 0.0
        self._last_j: float | None = None

    def __enter__(self) -> EnergySession:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(error)

    def start(self) -> None:
        """Begin; a session that still runs is ended first."""
        self.stop()
        if self.meter is not None:
            self.meter.start()
        self._running, self.stopped_by_budget = True, False
        self._begin_s = self._last_s = time.monotonic()
        self._last_j = 0.0 if self.meter is not None else None

    def stop(self, error: BaseException | None = None) -> None:
        """End: no process of the meter is left. With the error that ended the training, the record says so."""
        if not self._running:
            return
        self._running = False
        self._phases.close()
        if self.meter is not None:
            self.meter.__exit__(None if error is None else type(error), error, None)

    def phase(self, name: str) -> None:
        """Book what follows under ``name``, until the next phase or the end."""
        if self._running and self.meter is not None:
            self._phases.close()
            self._phases.enter_context(self.meter.phase(name))

    def figures(self) -> dict[str, float]:
        """``energy_j`` and ``co2e_g`` so far, ``power_w`` since the last call; what cannot be read is left out."""
        if self.meter is None:
            return {}
        now_s, energy_j = time.monotonic(), self.meter.joules()
        found = {"energy_j": energy_j, "co2e_g": self.meter.co2e_g, "power_w": None}
        if energy_j is not None and self._last_j is not None and now_s > self._last_s:
            found["power_w"] = (energy_j - self._last_j) / (now_s - self._last_s)
        self._last_s, self._last_j = now_s, energy_j
        return {name: value for name, value in found.items() if value is not None}

    def spent(self) -> bool:
        """Whether the budget is spent, in any of the processes that train together."""
        if not self._running or self.budget is None:
            return False
        kind, limit = self.budget
        used: float | None = time.monotonic() - self._begin_s
        if kind != "seconds":
            used = None
            if self.meter is not None:
                used = self.meter.joules() if kind == "joules" else self.meter.co2e_g
        self.stopped_by_budget = _any_rank(flag=used is not None and used >= limit)
        return self.stopped_by_budget

    def steps(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, until they end or the budget is spent: ``for batch in energy.steps(loader): ...``."""
        for batch in batches:
            yield batch
            if self.spent():
                return


def _any_rank(*, flag: bool) -> bool:
    """Whether the flag is set in any process of torch's group: all must stop at the same step, or the others wait."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return flag
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor([int(flag)], device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return bool(shared.item())

"""Models of ``greenbench run`` that stop where a test asks for it, so that no test has to hit a moment by the clock.

A run gets them through the door for own models: ``eco=tests/trial/pausing.py:PausingEco``. They train exactly like the
shipped ones until the place that ``GREENBENCH_TEST_PAUSE`` names; there they say so through the named pipe
``GREENBENCH_TEST_PAUSE_PIPE`` and sleep until a signal arrives.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from greenbench.batches.batch import Batch
from greenbench.models.base import StepInfo, Upstream

PLACE, PIPE = "GREENBENCH_TEST_PAUSE", "GREENBENCH_TEST_PAUSE_PIPE"
_BEEN_AT: set[str] = set()


def pause_at(place: str) -> None:
    """Stop here, the first time, if this is the place: announce it, then wait for a signal whose handler has run."""
    if os.environ.get(PLACE) != place or place in _BEEN_AT:
        return
    _BEEN_AT.add(place)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)  # a signal that comes before the read below is not missed
    Path(os.environ[PIPE]).write_text(f"{os.getpid()}\n")
    os.read(reader, 1)
    signal.set_wakeup_fd(before)
    os.close(reader)
    os.close(writer)


def be_deaf_at(place: str) -> None:
    """Stop here for good, deaf to requests to stop, as a step that takes minutes is."""
    if os.environ.get(PLACE) == place:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(os.environ[PIPE]).write_text(f"{os.getpid()}\n")
        while True:
            signal.pause()


class Pausing(Upstream):
    """Places are ``step N`` (in the forward pass of the update of that number, from 1), ``deaf at step N``, texts of
    ``progress``, and ``setup``, ``targets``, ``checkpoint``, ``evaluate``: somewhere in these phases.
    """

    _trained = False

    def pretraining_parameters(self) -> Any:
        pause_at("setup")
        return super().pretraining_parameters()

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        if info.step > 0:  # costs are counted on a step 0 of their own
            self._trained = True
            pause_at(f"step {info.step}")
            be_deaf_at(f"deaf at step {info.step}")
        return super().loss(batch, info)

    def make_targets(self, data: Any, **options: Any) -> None:
        pause_at("targets")
        super().make_targets(data, **options)

    def state_dict(self, *args: Any, **options: Any) -> Any:
        pause_at("checkpoint")
        return super().state_dict(*args, **options)

    def hidden_states(self, batch: Batch) -> Any:
        if self._trained and not self.training:
            pause_at("evaluate")
        return super().hidden_states(batch)

    def remake_targets(self, data: Any, *, progress: Any, **options: Any) -> None:
        def watched(text: str, fraction: float | None = None) -> None:
            progress(text, fraction)
            pause_at(text)

        super().remake_targets(data, progress=watched, **options)


_SHIPPED = {"PausingEco": "eco", "PausingHubert": "hubert", "PausingMelHubert": "melhubert"}


def __getattr__(name: str) -> type[Upstream]:
    """Make the class that a run names, and load its model alone: those of transformers take seconds."""
    if name not in _SHIPPED:
        raise AttributeError(name)
    shipped = getattr(import_module(f"greenbench.models.{_SHIPPED[name]}"), name.removeprefix("Pausing"))
    globals()[name] = type(name, (Pausing, shipped), {"__module__": __name__})
    return globals()[name]

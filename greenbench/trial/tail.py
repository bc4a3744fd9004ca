"""Follows a running trial's journals for the display."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from greenbench.power.sampler.live import LiveReader
from greenbench.progress import TrialStatus
from greenbench.records import EVENTS, LIVE, METRICS, number


class Tail:
    """What a trial's journals say now, reading only what was added.

    ``at_edge`` is called soon after a phase has begun or ended: a costly counter is read near the edges, too.
    """

    def __init__(self, folder: Path, at_edge: Callable[[], None]) -> None:
        events = (folder / EVENTS).open("rb")
        events.seek(0, os.SEEK_END)
        self._files: list[IO[bytes] | None] = [events, None]
        self._folder = folder
        self._at_edge = at_edge
        self._live: LiveReader | None = None
        self.in_checkpoint = False
        self._status = TrialStatus("starting")

    @property
    def phase(self) -> str:
        """What the trial did when its journals were last read."""
        return "checkpoint" if self.in_checkpoint else self._status.phase

    def update(self) -> TrialStatus:
        """Read what is new: phase, loss, budget, speed and power."""
        if self._files[1] is None and (self._folder / METRICS).exists():
            metrics = (self._folder / METRICS).open("rb")
            metrics.seek(0, os.SEEK_END)
            self._files[1] = metrics
        edge = False
        for file in self._files:
            for line in file or ():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    edge |= record.get("event") in ("begin", "end")
                    self._take(record)
        if edge:
            self._at_edge()
        self._read_power()
        return self._status

    def _take(self, record: dict[str, object]) -> None:
        if record.get("phase") == "checkpoint":
            self.in_checkpoint = record.get("event") == "begin"
        if record.get("event") == "begin" and record["phase"] != "checkpoint":
            self._status = replace(self._status, phase=str(record["phase"]), text="", fraction=None)
        elif record.get("event") == "progress":
            self._status = replace(self._status, text=str(record["text"]), fraction=number(record.get("fraction")))
        elif "step" in record and "loss" in record:
            loss, spent, speed = (number(record.get(key)) for key in ("loss", "spent", "audio_s_per_s"))
            self._status = replace(self._status, loss=loss, spent=spent, audio_s_per_s=speed)

    def _read_power(self) -> None:
        if self._live is None and (self._folder / LIVE).exists():
            self._live = LiveReader(self._folder / LIVE)
        if self._live is None:
            return
        reading = self._live.read()
        self._status = replace(
            self._status, power_w=reading.power_w, energy_j=reading.energy_j, power_kind=reading.kind or ""
        )

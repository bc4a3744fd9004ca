"""What users may ask of the sampler, checked before anything starts: every error is one line with its remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenbench.errors import ConfigError
from greenbench.power.sources.detect import parse_names

HZ_LIMITS = (0.1, 1000.0)


@dataclass(frozen=True)
class Sampling:
    """What a sampler reads, and how many times a second: see ``greenbench.power.sources.detect``."""

    hz: float = 20.0
    sources: str = "auto"
    devices: Sequence[str] | None = None
    tdp_w: float | None = None

    def check(self) -> None:
        """Refuse what cannot be read.

        Raises:
            ConfigError: an unknown source, a name that is no GPU, a rate or TDP that cannot be.
        """
        check_sources(self.sources)
        check_devices(self.devices)
        check_rate(self.hz, self.tdp_w)


_DEVICE = re.compile(r"(cuda|hip)(:\d+)?|(GPU|MIG)-\S+|\d+", re.IGNORECASE)


def parse_devices(text: str, where: str = "--devices") -> list[str] | None:
    """Split ``auto`` (None: the cards the environment shows), ``none`` (no card) or a comma list of cards.

    A card is ``cuda:N`` or ``hip:N`` as torch counts them in this environment, ``GPU-<uuid>``, ``MIG-<uuid>``, or an
    index as nvidia-smi counts them.

    Raises:
        ConfigError: an entry that names no card.
    """
    if text in ("auto", "none"):
        return None if text == "auto" else []
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise ConfigError(
                f"{where}: {name!r} names no GPU; allowed: auto, none, or a list of cuda:N, hip:N, GPU-<uuid>, "
                "MIG-<uuid>, N (as nvidia-smi counts)"
            )
    return names


def check_sources(sources: str, where: str = "--sources") -> None:
    """Refuse an unknown source and a recording that is not there.

    Raises:
        ConfigError: names the key, what was found and what is allowed.
    """
    for name in parse_names(sources, where):
        path = Path(name.partition(":")[2])
        if name.startswith("replay:") and not path.is_file():
            raise ConfigError(f"{where}: {name!r}: there is no file {str(path)!r} to replay")


def check_devices(devices: Sequence[str] | None, where: str = "--devices") -> None:
    """Refuse entries that name no card (see :func:`parse_devices`).

    Raises:
        ConfigError: names the entry and what is allowed.
    """
    if devices:
        parse_devices(",".join(devices), where)


def check_rate(hz: float, tdp_w: float | None) -> None:
    """Refuse a sampling rate (readings per second) or a TDP (watts) that cannot be.

    Raises:
        ConfigError: names the option and its range.
    """
    low, high = HZ_LIMITS
    if not low <= hz <= high:
        raise ConfigError(f"--hz {hz:g}: must lie between {low:g} and {high:g} readings per second")
    if tdp_w is not None and not 0 < tdp_w < math.inf:
        raise ConfigError(f"--tdp-w {tdp_w:g}: must be a number of watts above 0")

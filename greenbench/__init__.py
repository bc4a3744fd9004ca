"""greenbench: the best speech representation per joule, measured.

    import greenbench

    with greenbench.Meter() as meter:
        with meter.phase("train"):
            ...
    print(meter.joules())

    runs = greenbench.load_runs("runs/quickstart-20260101-120000")

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenbench.frames import load_runs
    from greenbench.metering.meter import Meter
    from greenbench.models.base import Upstream
    from greenbench.power.journal.trace import read_journal
    from greenbench.runner import run_suite

__version__ = "0.1.0"
__all__ = ["Meter", "Upstream", "__version__", "load_runs", "read_journal", "run_suite"]

_HOMES = {
    "Meter": "greenbench.metering.meter",
    "Upstream": "greenbench.models.base",
    "load_runs": "greenbench.frames",
    "read_journal": "greenbench.power.journal.trace",
    "run_suite": "greenbench.runner",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'greenbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

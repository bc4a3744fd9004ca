"""greenbench: the best speech representation per joule, measured.

    import greenbench

    with greenbench.Meter() as meter:
        with meter.phase("train"):
            ...
    print(meter.joules())

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenbench.metering.meter import Meter

__version__ = "0.1.0"
__all__ = ["Meter", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Meter":
        from greenbench.metering.meter import Meter

        return Meter
    raise AttributeError(f"module 'greenbench' has no attribute {name!r}")

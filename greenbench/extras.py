"""What lies outside the light core: which optional libraries there are, which extra brings them, how to install it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from greenbench.errors import ConfigError

DRAWING = ("jinja2", "matplotlib")
TRAINING = ("torch", "transformers", "soundfile", "soxr", "sklearn", "scipy", "safetensors", "rapidfuzz")
_EXTRA_OF = {
    **dict.fromkeys((*DRAWING, *TRAINING, "codecarbon", "fvcore", "pandas"), "bench"),
    "peft": "lora",
    "phonemizer": "phones",
    "amdsmi": "amd",
    "zeus_apple_silicon": "apple",
}


def require(what: str, modules: Iterable[str]) -> None:
    """Refuse ``what`` before anything is done where a library that it needs is not installed.

    Raises:
        ConfigError: one line with the missing libraries and the command that installs them.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"{what} needs {', '.join(missing)}; {remedy(missing[0])}")


def missing_library(error: ModuleNotFoundError) -> ConfigError | None:
    """The error in one line for a library of an extra that is not installed; None for any other module."""
    module = (error.name or "").partition(".")[0]
    return ConfigError(f"this needs {module}; {remedy(module)}") if module in _EXTRA_OF else None


def remedy(module: str) -> str:
    """The command that installs an optional library with its extra."""
    extra = _EXTRA_OF[module]
    return f"install it: pip install 'greenbench[{extra}]', or in a checkout: pip install '.[{extra}]'"

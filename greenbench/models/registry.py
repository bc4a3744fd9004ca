"""From a resolved card to a module: shipped code, entry points, ``package.module:Class`` and ``file.py:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.errors import ConfigError, did_you_mean
from greenbench.models.options import arguments

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec
    from greenbench.models.base import Upstream

ENTRY_POINT_GROUP = "greenbench.models"


def locate(code: str) -> type[Upstream]:
    """The class behind ``package.module:Class`` or ``path/to/file.py:Class``.

    Raises :class:`ConfigError` that names what is missing.
    """
    from greenbench.models.base import Upstream

    module_name, _, class_name = code.rpartition(":")
    if not module_name or not class_name:
        raise ConfigError(f"model code {code!r}: expected package.module:Class or path/to/file.py:Class")
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name, code)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [
            n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, Upstream) and v is not Upstream
        ]
        hint = did_you_mean(class_name, classes) or ", nor any other subclass of greenbench.models.base.Upstream"
        raise ConfigError(f"model code {code!r}: no class {class_name!r} there{hint}")
    if not (inspect.isclass(found) and issubclass(found, Upstream)):
        raise ConfigError(f"model code {code!r}: {class_name} must be a subclass of greenbench.models.base.Upstream")
    return found


def check_options(spec: ModelSpec) -> None:
    """Raise :class:`ConfigError` where a contestant's code is missing or does not take its options."""
    arguments(locate(spec.code), spec.architecture, spec.label)


def build(spec: ModelSpec) -> Upstream:
    """Build the module of a contestant with fresh weights from torch's current generator."""
    kind = locate(spec.code)
    options = arguments(kind, spec.architecture, spec.label)
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[models.{spec.label}]: {error}") from error


def entry_points() -> dict[str, str]:
    """The models that installed packages offer under the group ``greenbench.models``."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def source_fingerprint(spec: ModelSpec) -> dict[str, Any]:
    """File and hash of the code behind a model, so that a result names the code it came from."""
    path = Path(inspect.getfile(locate(spec.code)))
    return {"code": spec.code, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}


def _load_module(name: str, code: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"model code {code!r}: module {error.name!r} is not installed") from error
    except Exception as error:  # a relative name, or whatever a user's module does when it is imported
        raise ConfigError(f"model code {code!r}: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> Any:
    if not path.exists():
        raise ConfigError(f"model code: {path} does not exist")
    name = f"greenbench_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"model code: {path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file does when it is run
        del sys.modules[name]
        line = getattr(error, "lineno", None) or _line_in(path, error)
        raise ConfigError(f"model code: {path}{f':{line}' if line else ''}: {type(error).__name__}: {error}") from error
    return module


def own_line(error: BaseException) -> str:
    """``FILE:LINE`` of the last frame of an error that is neither torch's nor greenbench's: the model's own."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).resolve().parents[1] / "cost")
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith((ours, "<frozen"))]
    frame = (own or list(frames))[-1]
    return f"{frame.filename}:{frame.lineno}"


def _line_in(path: Path, error: BaseException) -> int | None:
    """Find the last line of the user's own file that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = path.resolve()
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename).resolve() == own), None)

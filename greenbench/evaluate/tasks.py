"""The tasks by name, and what stands in for a task that a corpus' labels do not allow."""

from __future__ import annotations

from collections.abc import Callable

from greenbench.evaluate.context import Context, TaskResult
from greenbench.evaluate.phones import phones

Task = Callable[[Context], TaskResult]

TASKS: dict[str, Task] = {"phones": phones}

FALLBACKS = {"phones": "characters"}

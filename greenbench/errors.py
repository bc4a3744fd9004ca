"""Every error a user can cause or meet, with the exit code it ends in.

    GreenbenchError            2   one line: what, where, what is allowed
    ├── ConfigError            2   a suite, card or option is wrong
    ├── DataError              2   audio, manifest or corpus is wrong
    │   └── DamagedTrialError  2   a file of a run folder is damaged
    ├── DeviceError            2   a torch device or a sensor that was asked for is not there
    ├── OutputError            2   the output folder cannot be written
    ├── IncomparableError      2   runs that must not be pooled, with the key that differs
    ├── TrialFailed            4   a trial ended without a result
    └── Interrupted          130   stopped by the user; the run folder can be continued

A message is one line that names the file, the key and the remedy. The command line prints it and exits;
no traceback reaches a user for bad input.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GreenbenchError(Exception):
    """Base of all errors that are reported as one line."""

    exit_code = 2


class ConfigError(GreenbenchError):
    """A suite, a card or an option is wrong."""


class DataError(GreenbenchError):
    """Audio, a manifest or a corpus is wrong."""

    @property
    def problem(self) -> str:
        """What is wrong, without the advice what to do."""
        return str(self)


class DamagedTrialError(DataError):
    """A file of a trial's folder is damaged; the message advises to run the trial again."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; remove the trial's folder to run it again")
        self._problem = problem

    @property
    def problem(self) -> str:
        """What is wrong, without the advice what to do."""
        return self._problem


class DeviceError(GreenbenchError):
    """A torch device or a sensor that was asked for is not there."""


class OutputError(GreenbenchError):
    """The output folder cannot be written."""


class IncomparableError(GreenbenchError):
    """Runs that must not be pooled; the message names the key that differs."""


class TrialFailed(GreenbenchError):
    """A trial ended without a result."""

    exit_code = 4


class Interrupted(GreenbenchError):
    """Stopped by the user; the run folder can be continued."""

    exit_code = 130


_NO_MEMORY = ("out of memory", "allocate memory", "alloc_failed")
"""How torch, cuBLAS and the C++ library say it: they raise RuntimeError, of which torch.OutOfMemoryError is one."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of this machine's memory or of a card's; tells without loading torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


_LONG_LIST = 20


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``"; did you mean 'x'? Allowed: ..."`` for an unknown name; a long list is left out where one of it is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    if not names or (close and len(names) > _LONG_LIST):
        return hint.rstrip(";")
    return f"{hint} allowed: {', '.join(names)}"

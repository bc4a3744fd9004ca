"""Checkpoints in safetensors and JSON, written atomically; never pickle.

A checkpoint is a folder ``checkpoints/step-N`` with ``tensors.safetensors`` (model, optimizer, generators) and
``state.json`` (step, data position, ledger). ``targets.safetensors`` beside it holds what target making made; what a
model made anew in mid-training is in ``targets-1.safetensors`` and so on, since a checkpoint belongs to one of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from greenbench.errors import OutputError
from greenbench.records import read_json, write_json

TENSORS, STATE = "tensors.safetensors", "state.json"


class CheckpointStore:
    """The checkpoints of one trial. Only the newest complete one is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> Path:
        """Write a checkpoint of named groups of tensors; older ones are removed only after it is complete."""
        final = self._free_name(int(state["step"]))
        temporary = self.folder / f".writing-{os.getpid()}"
        flat = {f"{group}/{key}": value for group, entries in tensors.items() for key, value in entries.items()}
        try:
            for left in self.folder.glob(".writing-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_file(_copies(flat), temporary / TENSORS)
            write_json(temporary / STATE, state)
            temporary.rename(final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(
                f"{final}: checkpoint cannot be written ({_reason(error)}); free space or change --out"
            ) from error
        for old in self._complete():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        return final

    def _free_name(self, step: int) -> Path:
        """Name a step's checkpoint anew where there is one: until the second is whole, the first must stay."""
        name = f"step-{step:09d}"
        before = [path.name for path in self._complete() if path.name.startswith(name)]
        if before:
            name = f"{name}.{int(before[-1].partition('.')[2] or 0) + 1:06d}"
        shutil.rmtree(self.folder / name, ignore_errors=True)  # what is not complete
        return self.folder / name

    def latest(self) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
        """Groups of tensors and state of the newest complete checkpoint, or None."""
        complete = self._complete()
        if not complete:
            return None
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in load_file(complete[-1] / TENSORS).items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = value
        return groups, read_json(complete[-1] / STATE)

    def save_targets(self, arrays: dict[str, np.ndarray], *, stage: int = 0) -> None:
        """Write the arrays of target making (atomically); nothing is written where there are none."""
        if not arrays:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        _write_whole(self._targets(stage), lambda path: save_arrays(whole, path))

    def load_targets(self, *, stage: int = 0) -> dict[str, np.ndarray]:
        """The arrays of target making at a stage, or nothing.

        Raises :class:`OutputError` where a later stage's are missing: they cannot be made again without its past.
        """
        path = self._targets(stage)
        if stage and not path.exists():
            raise OutputError(f"{path}: missing, but the checkpoint needs it; remove the trial's folder")
        return load_arrays(path) if path.exists() else {}

    def drop_targets(self, *, before: int) -> None:
        """Remove the targets of earlier stages, once a checkpoint of stage ``before`` is complete."""
        for stage in range(before):
            self._targets(stage).unlink(missing_ok=True)

    def _targets(self, stage: int) -> Path:
        return self.folder / (f"targets-{stage}.safetensors" if stage else "targets.safetensors")

    def save_model(self, state: dict[str, torch.Tensor]) -> None:
        """Write the finished model's weights as ``model.safetensors``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_whole(self.folder / "model.safetensors", lambda path: save_file(_copies(state), path))

    def _complete(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("step-*") if (p / STATE).exists() and (p / TENSORS).exists())


def _copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor as its own copy: safetensors refuses those that share memory (tied weights)."""
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")  # one worker a trial: a killed one's is written over
    try:
        write(temporary)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({_reason(error)}); free space or change --out") from error


def _reason(error: OSError | SafetensorError) -> str:
    return str(getattr(error, "strerror", None) or error)

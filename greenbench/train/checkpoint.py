"""Checkpoints in safetensors and JSON, written atomically; never pickle.

A checkpoint is a folder ``checkpoints/step-N`` with ``tensors.safetensors`` (model, optimizer, generators) and
``state.json`` (step, data position, ledger). ``targets.safetensors`` beside it holds what target making made.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from greenbench.errors import OutputError
from greenbench.records import read_json, write_json

TENSORS, STATE, TARGETS = "tensors.safetensors", "state.json", "targets.safetensors"


class CheckpointStore:
    """The checkpoints of one trial. Only the newest complete one is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> Path:
        """Write a checkpoint of named groups of tensors; older ones are removed only after it is complete."""
        final = self.folder / f"step-{int(state['step']):09d}"
        temporary = self.folder / f".writing-{os.getpid()}"
        flat = {f"{group}/{key}": value for group, entries in tensors.items() for key, value in entries.items()}
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            # safetensors refuses tensors that share memory (tied weights): each is written as its own copy.
            save_file({k: v.detach().cpu().contiguous().clone() for k, v in flat.items()}, temporary / TENSORS)
            write_json(temporary / STATE, state)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(
                f"{final}: checkpoint cannot be written ({error.strerror}); free space or change --out"
            ) from error
        for old in self._complete():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        return final

    def latest(self) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
        """Return groups of tensors and state of the newest complete checkpoint, or None."""
        complete = self._complete()
        if not complete:
            return None
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in load_file(complete[-1] / TENSORS).items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = value
        return groups, read_json(complete[-1] / STATE)

    def save_targets(self, arrays: dict[str, np.ndarray]) -> None:
        """Write the arrays of target making (atomically); nothing is written where there are none."""
        if not arrays:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{TARGETS}.{os.getpid()}"
        try:
            save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)
            temporary.replace(self.folder / TARGETS)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"{self.folder / TARGETS}: cannot be written ({error.strerror}); free space") from error

    def load_targets(self) -> dict[str, np.ndarray]:
        """Return the arrays of target making, or nothing."""
        path = self.folder / TARGETS
        return load_arrays(path) if path.exists() else {}

    def save_model(self, state: dict[str, torch.Tensor]) -> None:
        """Write the finished model's weights as ``model.safetensors``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "model.safetensors"
        try:
            save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); free space or change --out") from error

    def _complete(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("step-*") if (p / STATE).exists() and (p / TENSORS).exists())

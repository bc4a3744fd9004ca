"""``transformers.Trainer``: ``attach(trainer, joules=500)`` or ``callbacks=[EnergyCallback()]``.

    from greenbench.integrations.transformers import attach

    attach(trainer, region="FRA", joules=5000)
    trainer.train()

``attach`` also puts the figures into whatever the trainer reports to (TensorBoard, MLflow, …), which come after it in
the trainer's list, and ends the metering when ``train`` raises. A callback given to the trainer does neither: trackers
that the trainer made itself have logged before it is asked, and no event tells it of an error.
"""

from __future__ import annotations

import atexit
import functools
import sys
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState

from greenbench.integrations.session import EnergySession


class EnergyCallback(TrainerCallback):
    """Meters a training; takes what ``EnergySession`` takes.

    Logs ``energy_j``, ``power_w`` and ``co2e_g`` (totals so far, watts since the last log) beside the loss, books the
    phases ``train``, ``evaluate`` and ``save``, and stops at the budget by ``should_training_stop``.
    """

    def __init__(self, **options: Any) -> None:
        self.energy = EnergySession(**options)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Begin."""
        self.energy.start()
        self.energy.phase("train")
        atexit.register(self._at_exit)

    def on_step_end(self, *event: Any, **_: Any) -> None:
        """Stop at the budget; what the trainer does next is a phase of its own."""
        control: TrainerControl = event[2]
        if self.energy.spent():
            control.should_training_stop = True
        if control.should_evaluate:
            self.energy.phase("evaluate")
        elif control.should_save:
            self.energy.phase("save")

    def on_evaluate(self, *event: Any, **_: Any) -> None:
        """Go on with what follows an evaluation."""
        control: TrainerControl = event[2]
        self.energy.phase("save" if control.should_save else "train")

    def on_save(self, *_: Any, **__: Any) -> None:
        """Go on training."""
        self.energy.phase("train")

    def on_log(self, *event: Any, **named: Any) -> None:
        """Add the figures to the log and to the history, which holds the same entry already."""
        state: TrainerState = event[1]
        logs, figures = named.get("logs"), self.energy.figures()
        if logs is not None:
            logs.update(figures)
        if state.log_history:
            state.log_history[-1].update(figures)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End."""
        self.close()

    def close(self, error: BaseException | None = None) -> None:
        """End the metering, if it still runs."""
        self.energy.stop(error)
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self.close(getattr(sys, "last_value", None))


def attach(trainer: Trainer, **options: Any) -> EnergyCallback:
    """Meter a trainer; takes what ``EnergySession`` takes, for example ``joules=500`` or ``region="FRA"``."""
    callback = EnergyCallback(**options)
    # After the trainer's own flow, which decides what a step is followed by, and before its trackers.
    trainer.callback_handler.callbacks.insert(1, callback)
    train = trainer.train

    @functools.wraps(train)
    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            return train(*arguments, **named)
        except BaseException as error:
            callback.close(error)
            raise

    vars(trainer)["train"] = guarded
    return callback

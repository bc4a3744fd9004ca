"""Lightning: ``Trainer(callbacks=[EnergyCallback(joules=5000)])``."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer

from greenbench.integrations.session import EnergySession


class EnergyCallback(Callback):
    """Meters a fit; takes what ``EnergySession`` takes.

    Logs ``energy_j``, ``power_w`` and ``co2e_g`` to the trainer's loggers at its own rate (``log_every_n_steps``),
    books the phases ``train``, ``evaluate`` and ``save``, and stops at the budget by ``should_stop``.
    """

    def __init__(self, **options: Any) -> None:
        self.energy = EnergySession(**options)

    def on_fit_start(self, *_: Any) -> None:
        """Begin."""
        self.energy.start()

    def on_train_start(self, *_: Any) -> None:
        """Book the training; what came before (the sanity check) was evaluation."""
        self.energy.phase("train")

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Log and stop at the budget."""
        if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:
            for logger in trainer.loggers:
                logger.log_metrics(self.energy.figures(), step=trainer.global_step)
        if self.energy.spent():
            trainer.should_stop = True

    def on_validation_start(self, *_: Any) -> None:
        """Book an evaluation."""
        self.energy.phase("evaluate")

    def on_validation_end(self, *_: Any) -> None:
        """Go on training."""
        self.energy.phase("train")

    def on_fit_end(self, *_: Any) -> None:
        """End."""
        self.energy.stop()

    def on_exception(self, _trainer: Any, _module: Any, exception: BaseException) -> None:
        """End: nothing is left running."""
        self.energy.stop(exception)

"""``metrics.jsonl``: what the trainer logged, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greenbench.records.files import number


@dataclass(frozen=True)
class CurvePoint:
    """One logged step. ``figures`` hold every finite number of the line by its name, absent ones missing.

    Among them are ``audio_s``, ``loss``, ``lr``, ``fraction`` and ``spent`` of the budget, ``seconds``, ``joules``,
    ``flops``, ``grams``, and what the model's objective adds.
    """

    step: int
    figures: Mapping[str, float]

    def figure(self, name: str) -> float | None:
        """Look up a figure; None where the step has none."""
        return self.figures.get(name)


def learning_curve(lines: Iterable[Mapping[str, object]]) -> list[CurvePoint]:
    """Read logged steps in order; those that a crash threw away and a resumed session repeated are left out."""
    kept: list[CurvePoint] = []
    for line in lines:
        figures = {key: found for key, value in line.items() if (found := number(value)) is not None}
        point = CurvePoint(int(figures.get("step", 0)), figures)
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept

"""Each model of a run against its own random initialisation: what its training is worth, apart from its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from greenbench.compare.comparable import check_comparable
from greenbench.compare.table import ALPHA, CORRECTION, compare_arms
from greenbench.errors import DataError
from greenbench.metrics import METRICS
from greenbench.records import Trial


def own_random(trials: Sequence[Trial], *, alpha: float = ALPHA) -> dict[str, Any]:
    """Return, for each model, its quality against the same model with its weights as drawn, paired by seed.

    ``base`` of each comparison is the random control, ``new`` the trained model. Costs are left out: nothing is spent
    on weights that are only drawn. A model without such a control is named in ``notes``.

    Raises:
        DataError: no model has a complete run and a complete random control.
        IncomparableError: the trials differ in hardware, dtype, data, budget or test sets.
    """
    done = [t for t in trials if t.status == "ok"]
    models = dict.fromkeys(t.label for t in trials if not t.control)
    quality = [name for name, metric in METRICS.items() if metric.quality]
    entries, notes = [], []
    for label in models:
        trained = [t for t in done if not t.control and t.label == label]
        drawn = [t for t in done if t.drawn_from == label]
        # The suite may name one model twice, as random and as random:LABEL: the seeds are the same, one arm is enough.
        drawn = [t for t in drawn if t.label == drawn[0].label]
        if not trained or not drawn:
            lacks = f"complete random control (controls = ['random:{label}'])" if trained else "complete run"
            notes.append(f"{label}: no {lacks}, left out")
            continue
        check_comparable([*drawn, *trained])
        found = compare_arms(drawn, trained, metrics=quality, alpha=alpha)
        entries.append({"label": label, "n": len(trained), "comparisons": [asdict(c) for c in found]})
    if not entries:
        raise DataError("no model has complete runs beside its random control; run with controls = ['random:*']")
    return {"models": entries, "alpha": alpha, "correction": CORRECTION, "notes": notes}

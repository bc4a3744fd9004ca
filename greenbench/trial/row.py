"""A trial's row of ``results.csv``: who it is and what it reached, one figure a column."""

from __future__ import annotations

from collections.abc import Mapping

from greenbench.metrics import METRICS
from greenbench.records import SCHEMA_VERSION, Outcome, Trial
from greenbench.records.result import EnergySummary, Result
from greenbench.trial.timeline import Timeline
from greenbench.units import SECONDS_PER_HOUR


def result_row(trial: Trial, outcome: Outcome, result: Result, timeline: Timeline) -> dict[str, object]:
    """Put the row together; what is unknown is not in it.

    Raises:
        KeyError: a task scored something that the registry of metrics does not know.
    """
    unknown = [key for key in outcome.metrics if key not in METRICS]
    if unknown:
        raise KeyError(f"metrics not in the registry: {', '.join(unknown)}")
    emitted = result.carbon.figures if result.carbon else {}
    columns = {
        **_identity(trial, outcome, result),
        **_budget(result),
        **_costs(trial, outcome, timeline),
        **_energies(result, timeline),
        "run_dir": trial.manifest.folder,
        **emitted,
        **outcome.metrics,
    }
    return {key: value for key, value in columns.items() if value is not None}


def _identity(trial: Trial, outcome: Outcome, result: Result) -> Mapping[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": trial.suite,
        "model": trial.label,
        "family": trial.family,
        "size": trial.size,
        "seed": trial.seed,
        "control": trial.control,
        "status": result.status,
        "valid": result.valid,
        "resumed": result.resumed,
        "device": outcome.device or None,
        "gpu": outcome.gpu or None,
        "dtype": outcome.dtype or None,
        "data": trial.data.spec,
        "data_fingerprint": trial.data.fingerprint,
    }


def _budget(result: Result) -> Mapping[str, object]:
    if result.budget is None:
        return {}
    budget = result.budget
    return {
        "budget_kind": budget.kind,
        "budget_limit": budget.limit,
        "budget_spent": budget.spent.get(budget.kind),
        "budget_overshoot_pct": budget.overshoot_pct,
    }


def _costs(trial: Trial, outcome: Outcome, timeline: Timeline) -> Mapping[str, object]:
    pretrain_s = timeline.kept_s("pretrain") or None
    return {
        "steps": outcome.steps,
        "audio_h": outcome.audio_s / SECONDS_PER_HOUR if outcome.audio_s else None,
        "params": outcome.params if not trial.control else None,
        "pretrain_flops": outcome.pretrain_flops,
        "flops_method": outcome.flops_method,
        "flops_forward_per_audio_s": outcome.flops_forward_per_audio_s,
        "flops_train_per_audio_s": outcome.flops_train_per_audio_s,
        "audio_s_per_s": outcome.audio_s_per_s,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "pretrain_s": pretrain_s,
        "wall_s": _wall_s(timeline),
        "final_loss": outcome.final_loss,
        "padding_pct": outcome.padding_pct,
        "cropped_pct": outcome.cropped_pct,
        "stall_pct": 100 * outcome.stall_s / pretrain_s if pretrain_s and outcome.stall_s is not None else None,
    }


def _energies(result: Result, timeline: Timeline) -> Mapping[str, object]:
    energy, wall_s = result.energy, _wall_s(timeline)
    total_j = energy.total.energy_j
    return {
        "energy_budgeted_j": energy.budgeted.energy_j,
        "energy_total_j": total_j,
        "energy_charged_j": _charged_j(energy),
        "energy_wasted_j": energy.wasted.energy_j if result.resumed else None,
        "energy_source": energy.total.kind,
        "energy_uncertainty_j": energy.total.uncertainty_j,
        "mean_power_w": total_j / wall_s if total_j is not None and wall_s else None,
        "idle_power_w": _mean_w(energy.idle.energy_j, energy.idle_s),
        "idle_context_power_w": _mean_w(energy.idle_context.energy_j, energy.idle_context_s),
    }


def _wall_s(timeline: Timeline) -> float:
    return sum(end - begin for begin, end in timeline.sessions) / 1e9


def _charged_j(energy: EnergySummary) -> float | None:
    known = [charge.energy_j for charge in energy.charged if charge.energy_j is not None]
    return sum(known) if known and len(known) == len(energy.charged) else None


def _mean_w(energy_j: float | None, seconds: float) -> float | None:
    return energy_j / seconds if energy_j is not None and seconds else None

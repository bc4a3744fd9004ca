"""``greenbench cost NAME``: a card's costs as plain data and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.units import FLOPS_PER_MAC, SECONDS_PER_HOUR, format_bytes, format_si

if TYPE_CHECKING:
    from greenbench.cards import Card

SUPERB_SECONDS = 7.03
"""Mean length of the 32 recordings on which the SUPERB leaderboard counts MACs (224.86 s in all)."""


def describe(
    name: str, size: str = "base", seconds: float = 10.0, *, batch: int = 1, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The costs of a card, or of ``package.module:Class``, at a size and a crop length, as plain data.

    ``options`` are laid over the card, which then is no longer what was published.
    ``pretrain_flops`` is what its published pretraining took, or for a model of ours what its card configures: hours
    of audio processed times training FLOPs, with ``pretrain_audio_h`` and its source; None where the card does not say
    how much audio that is.
    """
    from greenbench.cards import load_card, resolve
    from greenbench.cost.stored import stored_cost

    spec = resolve(name, size, options)
    cost = stored_cost(spec, seconds=seconds, batch=batch)
    short = cost if seconds == SUPERB_SECONDS else stored_cost(spec, seconds=SUPERB_SECONDS, fvcore=False)
    card = None if ":" in name or options else load_card(name)
    hours, source = whole_audio_h(card, size)
    pretrain = None
    if hours is not None and cost.flops_train_per_audio_s is not None:
        pretrain = hours * SECONDS_PER_HOUR * cost.flops_train_per_audio_s
    return {
        "model": name,
        "size": spec.size,
        "options": dict(options or {}),
        **dataclasses.asdict(cost),
        "pretrain_flops": pretrain,
        "pretrain_audio_h": hours,
        "pretrain_source": source,
        "macs_per_audio_s_superb": short.macs_per_audio_s,
        "published": [dataclasses.asdict(f) for f in card.published if f.variant in ("", size)] if card else [],
    }


def whole_audio_h(card: Card | None, size: str) -> tuple[float | None, str]:
    """The hours of audio that a whole pretraining processes, published or configured, and the source."""
    for figure in card.published if card else ():
        if figure.metric == "audio_h_processed" and figure.variant in ("", size):
            return figure.value, figure.source
    if card and card.pretraining:
        plan = card.pretraining
        return plan.audio_h, f"configured: {plan.epochs:g} epochs of {plan.data}; {plan.reason}"
    return None, ""


def format_cost(facts: dict[str, Any], *, modules: int = 12) -> str:
    """What :func:`describe` returned as text: the figures, their cross-checks, and the costliest modules."""
    forward = facts["flops_forward_per_audio_s"]
    memory = format_bytes(facts["peak_train_memory_bytes"])
    features = facts["flops_features_per_audio_s"]
    rows = [
        ("parameters", f"{format_si(facts['params'], '')} (encoder {format_si(facts['encoder_params'], '')})"),
        ("MACs / s of audio", format_si(facts["macs_per_audio_s"], "MAC")),
        (f"  at {SUPERB_SECONDS:g} s crops", format_si(facts["macs_per_audio_s_superb"], "MAC")),
        ("forward FLOPs / s", format_si(forward, "FLOP")),
        ("  by formula", _against(facts["analytic_flops_forward_per_audio_s"], forward)),
        ("  by fvcore", _against(facts["fvcore_flops_forward_per_audio_s"], forward)),
        ("input features / s", "not counted" if features is None else format_si(features, "FLOP")),
        ("training FLOPs / s", format_si(facts["flops_train_per_audio_s"], "FLOP") or "does not train"),
        ("training memory", memory and f"{memory} at batch {facts['batch']}"),
        ("whole pretraining", _pretraining(facts)),
        ("not counted", _uncounted(facts["uncounted_ops"])),
    ]
    options = "".join(f", {key} = {value}" for key, value in facts["options"].items())
    title = f"{facts['model']} ({facts['size']}{options}), crops of {facts['seconds']:g} s"
    lines = [title, *(f"  {label:<24}{text}" for label, text in rows if text)]
    lines += ["  by module, forward MACs / s of audio:"]
    for module, flops in _costliest(facts["by_module"], modules):
        lines.append(f"    {module:<40}{format_si(flops / FLOPS_PER_MAC, 'MAC'):>12}{100 * flops / forward:7.1f} %")
    return "\n".join(lines)


def _against(value: float | None, reference: float) -> str:
    if value is None:
        return "no figure"
    deviation = f" ({100 * (value / reference - 1):+.1f} %)" if reference else ""
    return f"{format_si(value, 'FLOP')}{deviation}"


def _pretraining(facts: dict[str, Any]) -> str:
    if facts["pretrain_flops"] is None:
        return ""
    return f"{format_si(facts['pretrain_flops'], 'FLOP')} for {facts['pretrain_audio_h']:,.0f} h of audio processed"


def _uncounted(calls: dict[str, int]) -> str:
    ordered = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} ({number})" for name, number in ordered) or "nothing"


def _costliest(by_module: dict[str, float], limit: int) -> list[tuple[str, float]]:
    shallow = {name: flops for name, flops in by_module.items() if flops and name.count(".") <= 2}
    return sorted(shallow.items(), key=lambda item: -item[1])[:limit]

"""A model's costs beside those of others: per second of audio, for the same batch, and for whole pretrainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenbench.units import SECONDS_PER_HOUR, format_bytes, format_si

RATIOS = ("flops_train_per_audio_s", "flops_forward_per_audio_s", "peak_train_memory_bytes", "pretrain_flops")
_WIDTHS = (22, 10, 24, 24, 32, 34)


def against(
    name: str, others: Sequence[str], *, size: str = "base", seconds: float = 10.0, batch: int = 1
) -> dict[str, Any]:
    """Count a model and others, given as ``name`` or ``name@size``, on the same ``batch`` crops of ``seconds``.

    Each of ``rows`` (the model first) has ``ratios``: how many times the model's figure it is, None where one of them
    is unknown. Raises :class:`~greenbench.errors.ConfigError` for an unknown name or size.
    """
    first = _row(name, size, seconds, batch)
    rows = [first]
    for other in others:
        other_name, _, other_size = other.partition("@")
        rows.append(_row(other_name, other_size or size, seconds, batch))
    for row in rows:
        row["ratios"] = {key: row[key] / first[key] if row[key] and first[key] else None for key in RATIOS}
    return {"seconds": seconds, "batch": batch, "rows": rows}


def _row(name: str, size: str, seconds: float, batch: int) -> dict[str, Any]:
    from greenbench.cards import load_card, resolve
    from greenbench.cost.describe import whole_audio_h
    from greenbench.cost.stored import stored_cost

    spec = resolve(name, size)
    cost = stored_cost(spec, seconds=seconds, batch=batch, fvcore=False)
    hours, source = whole_audio_h(None if ":" in name else load_card(name), size)
    train = cost.flops_train_per_audio_s
    return {
        "model": name,
        "size": size,
        "params": cost.params,
        "flops_train_per_audio_s": train,
        "flops_forward_per_audio_s": cost.flops_forward_per_audio_s,
        "peak_train_memory_bytes": cost.peak_train_memory_bytes,
        "train_state_bytes": cost.train_state_bytes,
        "pretrain_audio_h": hours,
        "pretrain_source": source,
        "pretrain_flops": hours * SECONDS_PER_HOUR * train if hours and train else None,
    }


def format_against(table: dict[str, Any]) -> str:
    """What :func:`against` returned as a table; × is the multiple of the first row's figure."""
    heads = ("", "params", "training FLOPs / s", "forward FLOPs / s", "training memory", "whole pretraining")
    lines = [f"{table['batch']} crop(s) of {table['seconds']:g} s, float32", _line(heads)]
    for row in table["rows"]:
        ratios = row["ratios"]
        memory = format_bytes(row["peak_train_memory_bytes"])
        if memory:
            memory += f" ({format_bytes(row['train_state_bytes'])} state)"
        whole = format_si(row["pretrain_flops"], "FLOP")
        cells = (
            f"{row['model']} ({row['size']})",
            format_si(row["params"], ""),
            _times(format_si(row["flops_train_per_audio_s"], "FLOP"), ratios["flops_train_per_audio_s"]),
            _times(format_si(row["flops_forward_per_audio_s"], "FLOP"), ratios["flops_forward_per_audio_s"]),
            _times(memory, ratios["peak_train_memory_bytes"]),
            _times(whole and f"{whole}, {row['pretrain_audio_h']:,.0f} h", ratios["pretrain_flops"]),
        )
        lines.append(_line(cells))
    lines += [
        f"  {row['model']} ({row['size']}): {row['pretrain_source']}" for row in table["rows"] if row["pretrain_source"]
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _times(text: str, ratio: float | None) -> str:
    return text if not text or ratio is None or ratio == 1 else f"{text} ×{ratio:.3g}"

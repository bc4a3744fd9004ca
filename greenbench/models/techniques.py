"""The map of efficiency techniques: every technique that a card names, and the lever it pulls."""

from __future__ import annotations

GROUPS = ("architecture", "attention", "optimisation", "transfer", "data")

TECHNIQUES: dict[str, str] = {
    "mel front end": "architecture",
    "low frame rate": "architecture",
    "25 Hz trunk": "architecture",
    "convolution and attention": "architecture",
    "deep and thin": "architecture",
    "few layers": "architecture",
    "few parameters": "architecture",
    "Fourier mixing": "attention",
    "linear mixing": "attention",
    "shared attention": "attention",
    "flash attention": "attention",
    "one stage": "optimisation",
    "online targets": "optimisation",
    "random targets": "optimisation",
    "better targets": "optimisation",
    "masked-only loss": "optimisation",
    "intermediate supervision": "optimisation",
    "several masks per clip": "optimisation",
    "mixed precision": "optimisation",
    "bf16": "optimisation",
    "compile": "optimisation",
    "gradient accumulation": "optimisation",
    "dynamic batching": "optimisation",
    "distillation": "transfer",
    "pruning": "transfer",
    "continued pretraining": "transfer",
    "precomputed features": "data",
    "distorted input": "data",
    "length buckets": "data",
    "language balancing": "data",
    "small corpus": "data",
}
"""Group by technique. A card's ``techniques`` come from here, so that one thing has one name."""

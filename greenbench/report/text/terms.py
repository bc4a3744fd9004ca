"""What every term of a report means: the expansion of abbreviations, and the glossary at the end of a page."""

from __future__ import annotations

import re

from greenbench.metrics import METRICS

ABBREVIATIONS = {
    "PER": "phone error rate",
    "CER": "character error rate",
    "WER": "word error rate",
    "ABX": "error of telling phones apart by distance alone (is X nearer to A or to B?)",
    "PNMI": "phone-normalised mutual information",
    "CTC": "connectionist temporal classification",
    "g2p": "grapheme to phoneme: phones from a text by a dictionary",
    "FLOP": "floating point operation",
    "FLOPs": "floating point operations",
    "GFLOP": "10⁹ floating point operations",
    "TFLOP": "10¹² floating point operations",
    "PFLOP": "10¹⁵ floating point operations",
    "MAC": "multiply-accumulate: two floating point operations",
    "SCI": "software carbon intensity, ISO/IEC 21031",
    "PUE": "power usage effectiveness: energy of the building / energy of its computers",
    "CO2e": "carbon dioxide equivalent",
    "SUPERB": "Speech processing Universal PERformance Benchmark",
    "MIG": "multi-instance GPU: a slice of a card",
}

LABELS = {
    "energy_budgeted_j": "training energy",
    "energy_total_j": "energy of the whole trial",
    "energy_charged_j": "energy charged for reused features",
    "pretrain_flops": "pretraining FLOPs",
    "co2e_g": "emissions of the whole trial",
    "audio_h": "audio trained on",
    "audio_s_per_s": "audio per second",
    "pretrain_s": "pretraining time",
}
"""What a reader is told where the registry's short name says too little."""

GLOSSARY = {
    "Phone error rate (PER)": "Edits between the phones that a small probe reads from the features and those that were "
    "spoken, by phones spoken. “Macro” is the plain mean over languages, “recurrent” uses a small recurrent probe.",
    "Frame error": "Share of the frames (10 or 20 ms) whose phone a linear probe gets wrong.",
    "Character and word error rate (CER, WER)": "The same with characters or words in place of phones.",
    "Probe": "A small classifier, trained on the labels of a task above features that stay as they are.",
    "Training energy": "Joules of what the budget pays for: features, targets, compilation and pretraining.",
    "Energy of the whole trial": "Joules from start to result, setup and evaluation included; the idle baseline before "
    "it is left out.",
    "Modelled": "Computed from processor load and rated power, with a wide range; no sensor was read.",
    "Measured": "Read from a sensor, a counter, a clock or a test set.",
    "Counted": "Computed from the model's operators and weights: FLOPs and parameters.",
    "Published": "Stated by a paper or a model card; the source stands beside it.",
    "Baseline": "The model that ratios (×) and verdicts are against.",
    "Untrained (random) weights": "A network before any training, under the same probe; where a suite draws them for "
    "each model, its own, else those of one model for all.",
    "Log-mel": "Filter-bank energies per frame: features that need no model.",
    "Learnt nothing that shows": "No better than untrained weights or log-mel by more than the practical threshold "
    "(one point of error), by the means of the runs, untested.",
    "Better, worse": "An exact test over seeds is significant at 5 % after Holm's correction, and the difference is "
    "larger than the practical threshold. Costs are judged only for models shown to be no worse in quality.",
    "Not enough runs": "So few seeds that no test could be significant, whatever the figures.",
    "Seed": "The number that everything drawn at random follows from; another seed is another run.",
    "Pareto front": "The models that no other beats in both error and cost.",
    "FLOPs": "Floating point operations, counted on the real graph of forward and backward pass.",
    "Emissions (CO2e)": "Joules times the grid's intensity. The building's overhead (PUE) and the making of the "
    "hardware (embodied) are figures of their own; software carbon intensity (SCI) is all three per unit of use.",
    "Points": "Percentage points: from 50 % to 47 % are 3 points.",
}


def glossary_page() -> str:
    """The glossary in Markdown: ``python -m greenbench.report.text.terms > docs/glossary.md``."""
    rows = ["# Glossary", "", "The terms of reports and pages.", "", "| term | meaning |", "|---|---|"]
    rows += [f"| {term} | {meaning} |" for term, meaning in sorted(GLOSSARY.items(), key=lambda item: item[0].lower())]
    rows += ["", "| short | for |", "|---|---|", *(f"| {short} | {long} |" for short, long in ABBREVIATIONS.items())]
    return "\n".join(rows) + "\n"


def label(metric: str) -> str:
    """The name that a metric has on a page."""
    return LABELS.get(metric, METRICS[metric].label)


def spelled(metric: str) -> str:
    """Write a metric's name out at its first mention: ``"phone error rate (PER)"``."""
    head, _, tail = label(metric).partition(",")
    meaning = ABBREVIATIONS.get(head)
    return f"{meaning} ({head}){f',{tail}' if tail else ''}" if meaning else label(metric)


_WORDS = "|".join(sorted(map(re.escape, ABBREVIATIONS), key=len, reverse=True))
_TERM = re.compile(rf"(?<![\w-])({_WORDS})(?![\w-])")


def split_terms(text: str) -> list[tuple[str, str]]:
    """Cut a text at its abbreviations: pairs of text and expansion, empty for what needs none."""
    return [(part, ABBREVIATIONS.get(part, "")) for part in _TERM.split(text) if part]


if __name__ == "__main__":
    print(glossary_page(), end="")

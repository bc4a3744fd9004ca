"""What a page and its settings are called."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.report.arms import Setting
from greenbench.report.text.amounts import budget_words

_SOURCE = {
    "gpu": "gpu uuid",
    "power limit": "gpu power limit",
    "device": "device",
    "dtype": "dtype",
    "data": "data_fingerprint",
    "budget": "budget_limit",
}


def page_title(settings: Sequence[Setting]) -> str:
    """Name the suites and budgets of a page."""
    suites = list(dict.fromkeys(name for s in settings for name in s.suites if name))
    budgets = list(dict.fromkeys(text for s in settings if (text := budget_words(s))))
    named = ", ".join(suites) or "runs"
    return f"{named}: {', '.join(budgets)} each" if budgets else named


def setting_name(setting: Setting, settings: Sequence[Setting]) -> str:
    """Name a setting by what tells it apart from the others on the page."""
    names = {
        "gpu": setting.machine["gpu"] or setting.machine["cpu"],
        "power limit": setting.machine["gpu power limit"],
        "device": setting.keys["device"],
        "dtype": setting.keys["dtype"],
        "data": setting.keys["data_fingerprint"] and f"data {setting.keys['data_fingerprint']}",
        "budget": budget_words(setting),
    }
    differing = []
    for key, text in names.items():
        values = {
            ({**s.machine, **s.keys}[_SOURCE[key]] or s.machine["cpu"], key == "budget" and s.keys["budget_kind"])
            for s in settings
        }
        if len(values) > 1 and text:
            differing.append(text)
    return ", ".join(differing) or names["gpu"]

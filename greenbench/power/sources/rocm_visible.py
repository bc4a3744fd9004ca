"""Which AMD GPUs a HIP program sees: ROCR_VISIBLE_DEVICES first, then HIP_VISIBLE_DEVICES inside of what it left.

HIP also reads CUDA_VISIBLE_DEVICES where HIP_VISIBLE_DEVICES is not set. An index counts the cards in the order of
the driver, which amdsmi follows; ``GPU-<16 hexadecimal digits>`` names a card by its serial number. A list ends at its
first entry that is no card. (ROCm documentation, GPU isolation techniques.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def visible_amd(environment: Mapping[str, str], serials: Sequence[str]) -> tuple[list[int], list[str]]:
    """Map the environment to indices into ``serials`` (one serial number per card, "" where unknown).

    Returns the indices in HIP's order, and warnings where an entry is no card.
    """
    warnings: list[str] = []
    shown = list(range(len(serials)))
    for variables in (("ROCR_VISIBLE_DEVICES",), ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")):
        name = next((v for v in variables if v in environment), None)
        if name is not None:
            shown = _pick(name, environment[name], shown, serials, warnings)
    return shown, warnings


def _pick(name: str, value: str, shown: list[int], serials: Sequence[str], warnings: list[str]) -> list[int]:
    picked: list[int] = []
    for entry in (part.strip() for part in value.split(",")):
        index = _resolve(entry, shown, serials)
        if index is None:
            if entry not in ("", "-1"):
                warnings.append(f"{name}: {entry!r} is no AMD GPU here; the list ends at it")
            break
        if index not in picked:
            picked.append(index)
    return picked


def _resolve(entry: str, shown: list[int], serials: Sequence[str]) -> int | None:
    if entry.upper().startswith("GPU-"):
        wanted = _digits(entry[4:])
        return next((i for i in shown if wanted and _digits(serials[i]) == wanted), None)
    return shown[int(entry)] if entry.isdigit() and int(entry) < len(shown) else None


def _digits(serial: str) -> str:
    return serial.lower().removeprefix("0x").lstrip("0")


def named_amd(
    names: Sequence[str], environment: Mapping[str, str], serials: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Map ``hip``, ``hip:1`` (torch's ordinal in this environment) and ``GPU-<serial>`` to indices into ``serials``.

    Everything else is another vendor's name and passed over.
    """
    shown, warnings = visible_amd(environment, serials)
    if not any(name.startswith("hip") for name in names):
        warnings = []
    picked: list[int] = []
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "hip":
            match = shown[int(number or 0) :][:1]
            if not match:
                warnings.append(f"{name!r} is no AMD GPU that HIP shows here")
        else:
            found = _resolve(name, list(range(len(serials))), serials) if not name.isdigit() else None
            match = [] if found is None else [found]
        picked += [index for index in match if index not in picked]
    return picked, warnings

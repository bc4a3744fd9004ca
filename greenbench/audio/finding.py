"""What the containers of audio files are found to say; shared by the modules for the single formats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A container held against its bytes.

    ``problem`` is a reason to leave the file out. ``patch`` are bytes of the header that say a wrong length, as offset
    and right value, where the right one is certain. ``num_samples`` is what the frames of an MP3 hold, whose header
    only estimates it.
    """

    problem: str | None = None
    patch: tuple[int, bytes] | None = None
    num_samples: int | None = None


WHOLE = Finding()


def truncated(missing: int) -> Finding:
    """Say how many bytes of audio are missing at the end."""
    return Finding(f"is truncated ({missing} bytes of audio are missing)")


def goes_on(what: str, length: int) -> Finding:
    """Say that more follows than the header admits, so that one of the two is wrong and nobody knows which."""
    return Finding(f"its header ends the audio {length} bytes before the file does, and {what} follows")

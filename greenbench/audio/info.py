"""What one audio file holds, and whether all of it can be decoded. Imports no PyTorch: it runs in workers."""

from __future__ import annotations

import hashlib
import stat
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from greenbench.audio.decode import error_text, reason_of
from greenbench.audio.finding import Finding
from greenbench.audio.level import Level
from greenbench.audio.opening import examine, open_audio

if TYPE_CHECKING:
    import soundfile

_BLOCK = 1 << 20
_MP3_SLACK = 4 * 1152
_LOSSY = ("VORBIS", "OPUS", "MPEG", "MP3", "ADPCM", "GSM", "VOX", "G72", "NMS")


@dataclass(frozen=True)
class AudioInfo:
    """A file's rate, length (samples at that rate), channels and encoding; ``problem`` says why it cannot be used.

    ``gain`` brings the samples to [-1, 1]. ``silent`` says of each channel and, with several, last of their mean why
    nothing would be heard; ``digest`` is a hash over all samples. Both are empty where only the header was read.
    """

    sample_rate: int = 0
    num_samples: int = 0
    channels: int = 0
    subtype: str = ""
    problem: str | None = None
    gain: float = 1.0
    silent: tuple[str | None, ...] = ()
    digest: str = ""

    def problem_of(self, channel: int | None) -> str | None:
        """Why one channel (None: the mean of all) cannot be used; None where it can."""
        if self.problem is not None:
            return self.problem
        if channel is not None and not 0 <= channel < self.channels:
            return f"channel {channel} is asked for (counted from 0), the file has {self.channels}"
        if not self.silent:
            return None
        return self.silent[-1 if channel is None else channel]


def probe_header(path: str) -> AudioInfo:
    """Read a file's header only."""
    return _probe(path, decode=False)


def probe_file(path: str) -> AudioInfo:
    """Read a file from begin to end and check that it holds the finite samples that its header promises."""
    return _probe(path, decode=True)


def _probe(path: str, *, decode: bool) -> AudioInfo:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return AudioInfo(problem="is not a regular file")  # reading a pipe or a device may never end
        if status.st_size == 0:
            return AudioInfo(problem="is empty (0 bytes)")
        finding = examine(path)
        if finding.problem is not None:
            return AudioInfo(problem=finding.problem)
        with open_audio(path, finding) as file:
            info = AudioInfo(
                int(file.samplerate), int(file.frames), int(file.channels), f"{file.format} {file.subtype}"
            )
            if problem := _header_problem(info):
                return replace(info, problem=problem)
            return _decoded(file, info, finding) if decode else info
    except (_soundfile_error(), OSError, RuntimeError, ValueError, struct.error) as error:
        return AudioInfo(problem=reason_of(error))


def _soundfile_error() -> type[Exception]:
    import soundfile

    error: type[Exception] = soundfile.LibsndfileError
    return error


def _header_problem(info: AudioInfo) -> str | None:
    if info.channels < 1:
        return "has 0 channels"
    if not 1_000 <= info.sample_rate <= 768_000:
        return f"has a sample rate of {info.sample_rate} Hz; 1 to 768 kHz can be read"
    return "holds no samples" if info.num_samples <= 0 else None


def _decoded(file: soundfile.SoundFile, info: AudioInfo, finding: Finding) -> AudioInfo:
    level, hasher = Level(info.channels), hashlib.blake2b(digest_size=16)
    buffer = np.empty((max(1, min(_BLOCK // info.channels, info.num_samples)), info.channels), np.float32)
    while True:
        try:
            block = file.read(out=buffer)
        except RuntimeError as error:
            where = f"after {level.count} of {info.num_samples} samples"
            return replace(info, problem=f"is truncated or damaged: decoding stops {where} ({error_text(error)})")
        if not len(block):
            break
        if not level.add(block):
            return replace(info, problem="holds samples that are not numbers (NaN or infinity)")
        hasher.update(block)
    # The header of an MP3 only estimates the length.
    info = replace(info, num_samples=level.count, digest=f"{info.sample_rate} {info.channels} {hasher.hexdigest()}")
    if problem := _length_problem(info, int(file.frames), finding):
        return replace(info, problem=problem)
    gain = level.gain(lossy=any(name in info.subtype for name in _LOSSY))
    if gain is None:
        return replace(info, problem=f"holds samples up to {level.peak:.4g}, where 1 is full scale; rescale it")
    return replace(info, gain=gain, silent=level.silences(gain))


def _length_problem(info: AudioInfo, stated: int, finding: Finding) -> str | None:
    is_mp3 = "MPEG" in info.subtype or "MP3" in info.subtype
    if info.num_samples + (_MP3_SLACK if is_mp3 else 0) < stated:
        return f"ends after {info.num_samples} of {stated} samples: it is truncated"
    if finding.num_samples is not None and info.num_samples + _MP3_SLACK < finding.num_samples:
        return f"its header ends the audio after {info.num_samples} samples, its frames hold {finding.num_samples}"
    return None

"""eSpeak NG through its C API: samples, and every phoneme event with its position in the samples.

Call in a fresh process for every utterance: the synthesizer keeps state (flutter and noise generators), so that
only a fresh one gives the same samples for the same text whatever was spoken before.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util

import numpy as np

RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _UTF8 = 2, 1, 2, 1
_EVENT_END, _EVENT_PHONEME = 0, 7


class _Id(c.Union):
    _fields_ = (("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8))


class _Event(c.Structure):
    _fields_ = (
        ("type", c.c_int),
        ("unique_identifier", c.c_uint),
        ("text_position", c.c_int),
        ("length", c.c_int),
        ("audio_position", c.c_int),
        ("sample", c.c_int),
        ("user_data", c.c_void_p),
        ("id", _Id),
    )


_Callback = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))


class Synthesizer:
    """One eSpeak NG engine; ``sample_rate`` is its own (22050 Hz)."""

    def __init__(self) -> None:
        self._library = c.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        self._library.espeak_Info.restype = c.c_char_p
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA)
        if self.sample_rate <= 0:
            raise RuntimeError("espeak_Initialize failed: is the espeak-ng data installed?")
        self._chunks: list[np.ndarray] = []
        self._events: list[tuple[str, int]] = []
        self._keep = _Callback(self._receive)  # the C side holds only a bare pointer to it
        self._library.espeak_SetSynthCallback(self._keep)

    @property
    def version(self) -> str:
        """Version of the shared library, such as ``1.51``."""
        return self._library.espeak_Info(None).decode()

    def speak(self, text: str, voice: str, *, rate: int, pitch: int, pitch_range: int, seed: int) -> tuple:
        """Return ``(samples int16 [n], [(ipa, first sample), ...])``; the empty label is a pause."""
        self._chunks.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        c.CDLL(None).srand(seed)  # the Klatt voices draw their noise from rand()
        data = text.encode("utf-8")
        if self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise RuntimeError(f"espeak-ng could not speak {text!r}")
        return np.concatenate(self._chunks), list(self._events)

    def _receive(self, samples: c.Array, count: int, events: c.Array) -> int:
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        i = 0
        while events[i].type != _EVENT_END:
            if events[i].type == _EVENT_PHONEME:
                label = bytes(events[i].id.string).split(b"\0")[0].decode("utf-8", "ignore")
                self._events.append((label, events[i].sample))
            i += 1
        return 0

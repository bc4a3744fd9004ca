"""Phones for any text: optional, through ``phonemizer`` or the ``espeak-ng`` program. Characters need nothing."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from greenbench.audio.workers import available_cores
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError, did_you_mean

BACKENDS = ("phonemizer", "espeak-ng")
REMEDY = "install the Debian package espeak-ng, or pip install 'greenbench[phones]' with an espeak-ng library"
_TIMEOUT_S = 60.0
# Primary and secondary stress, the joiner inside affricates and diphthongs, and "(en)" where a word is foreign.
_MARKS = re.compile(r"[ˈˌ\u200d\u0361]|\([a-z-]+\)")


def available_backends() -> tuple[str, ...]:
    """Which of ``phonemizer`` and ``espeak-ng`` can be used here."""
    found = {
        "phonemizer": importlib.util.find_spec("phonemizer") is not None,
        "espeak-ng": shutil.which("espeak-ng") is not None,
    }
    return tuple(name for name in BACKENDS if found[name])


def phonemize(texts: Sequence[str], language: str, *, backend: str | None = None) -> list[tuple[str, ...]]:
    """The phones (IPA without stress, long vowels kept apart) of every text.

    ``language`` is a code such as ``en``, ``de_de`` or ``pt-BR``. Raises :class:`DataError` if there is no backend, or
    if it does not know the language.
    """
    usable = available_backends()
    if backend is not None and backend not in BACKENDS:
        raise DataError(f"phones: no backend {backend!r}{did_you_mean(backend, BACKENDS)}")
    if not usable or (backend is not None and backend not in usable):
        raise DataError(f"phones need {backend or 'espeak-ng or phonemizer'}, which is not installed here; {REMEDY}")
    distinct = list(dict.fromkeys(texts))
    run = _with_phonemizer if (backend or usable[0]) == "phonemizer" else _with_program
    phones = dict(zip(distinct, run(distinct, espeak_voice(language)), strict=True))
    return [phones[text] for text in texts]


def espeak_voice(language: str) -> str:
    """Espeak-ng's name of a language; English without a region is read as American."""
    code = language.strip().lower().replace("_", "-")
    main, _, region = code.partition("-")
    if main == "en":
        return "en-us" if region in ("", "us") else f"en-{region}"
    return "pt-br" if code == "pt-br" else main


def phones_by_id(utterances: Sequence[Utterance], *, backend: str | None = None) -> dict[str, tuple[str, ...]]:
    """The phones of all utterances that have text and language, by id; those that have neither are left out."""
    by_language: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        if utterance.text and utterance.language:
            by_language[utterance.language].append(utterance)
    result = {}
    for language, items in by_language.items():
        sequences = phonemize([u.text or "" for u in items], language, backend=backend)
        result.update({u.id: phones for u, phones in zip(items, sequences, strict=True)})
    return result


def _split(line: str) -> tuple[str, ...]:
    return tuple(_MARKS.sub("", line).replace("_", " ").replace("|", " ").split())


def _with_phonemizer(texts: list[str], voice: str) -> list[tuple[str, ...]]:
    from phonemizer.backend import EspeakBackend
    from phonemizer.separator import Separator

    try:
        engine = EspeakBackend(voice, with_stress=False, language_switch="remove-flags")
    except RuntimeError as error:  # it says so for an unknown language and for a missing library
        raise DataError(f"phones: phonemizer cannot read {voice!r} ({error}); {REMEDY}") from error
    lines = engine.phonemize(texts, separator=Separator(phone=" ", word=" | "), strip=True)
    return [_split(line) for line in lines]


def _with_program(texts: list[str], voice: str) -> list[tuple[str, ...]]:
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(lambda text: _speak(text, voice), texts))


def _speak(text: str, voice: str) -> tuple[str, ...]:
    command = ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", voice, "--stdin"]
    result = subprocess.run(
        command, input=text, capture_output=True, text=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"phones: espeak-ng cannot read {voice!r} ({reason}); see espeak-ng --voices")
    return _split(result.stdout)

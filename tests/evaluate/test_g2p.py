"""Phones for any text, where espeak-ng is installed; a clear word where it is not."""

from __future__ import annotations

import pytest

from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError
from greenbench.evaluate.g2p import available_backends, espeak_voice, phonemize, phones_by_id


def utterance(name: str, text: str | None, language: str | None) -> Utterance:
    return Utterance(id=name, path="x", offset=0, num_samples=1, text=text, language=language)


@pytest.fixture(params=["phonemizer", "espeak-ng"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in available_backends():
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_words_become_phones_without_stress(backend: str) -> None:
    phones = phonemize(["see the cat, then", "see", "see the cat, then"], "en", backend=backend)
    assert phones[0] == phones[2]
    assert phones[1] == ("s", "iː")
    assert phones[0][:7] == ("s", "iː", "ð", "ə", "k", "æ", "t")
    assert not any(mark in phone for sequence in phones for phone in sequence for mark in "ˈˌ|_ ")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_every_language_is_read_by_its_own_rules(backend: str) -> None:
    (english,) = phonemize(["tag"], "en", backend=backend)
    (german,) = phonemize(["tag"], "de_de", backend=backend)
    assert english != german
    assert german == ("t", "ɑː", "k")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_utterances_are_grouped_by_language(backend: str) -> None:
    items = [
        utterance("a", "see", "en"),
        utterance("b", "tag", "de"),
        utterance("c", None, "en"),
        utterance("d", "see", None),
    ]
    assert set(phones_by_id(items, backend=backend)) == {"a", "b"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_unknown_language_is_one_line(backend: str) -> None:
    with pytest.raises(DataError, match="cannot read 'xx'"):
        phonemize(["text"], "xx", backend=backend)


def test_without_a_program_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="install the Debian package espeak-ng"):
        phonemize(["text"], "en", backend="espeak-ng")
    with pytest.raises(DataError, match="did you mean 'espeak-ng'"):
        phonemize(["text"], "en", backend="espeak")


def test_language_codes_are_translated() -> None:
    codes = ("en", "en_us", "en-GB", "de_de", "pt_br", "pt", "FR")
    assert [espeak_voice(code) for code in codes] == ["en-us", "en-us", "en-gb", "de", "pt-br", "pt", "fr"]

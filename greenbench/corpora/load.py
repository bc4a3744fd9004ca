"""From what a suite's ``data`` names to a corpus."""

from __future__ import annotations

from greenbench.corpora.assemble import assemble
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.join import join
from greenbench.corpora.readers.embedded import EMBEDDED, load_embedded
from greenbench.corpora.readers.registry import READERS
from greenbench.errors import DataError, did_you_mean
from greenbench.progress import Progress


def load_corpus(spec: str, *, progress: Progress | None = None) -> Corpus:
    """Load what a suite's ``data`` names: ``librispeech-mini``, ``mini``, ``folder:PATH``, ``librispeech:SUBSET``, ….

    ``A + B`` joins corpora, each with the splits it has alone. ``progress(text, fraction)`` reports a long scan.
    Raises :class:`DataError` for an unknown name, a missing path and where nothing usable is found.
    """
    parts = [part.strip() for part in spec.split(" + ")]
    if len(parts) > 1:
        return join(spec, [load_corpus(part, progress=progress) for part in parts])
    kind, separator, argument = spec.partition(":")
    if spec in EMBEDDED:
        return load_embedded(spec)
    if kind not in READERS or not separator or not argument:
        known = [*EMBEDDED, *(f"{name}:{reader.argument}" for name, reader in READERS.items())]
        raise DataError(f"data = {spec!r} is no known corpus{did_you_mean(spec, known)}")
    return assemble(spec, READERS[kind].read(argument), progress=progress)

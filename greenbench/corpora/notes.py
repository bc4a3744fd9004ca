"""What was done to recordings that are kept, for the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from greenbench.audio.info import AudioInfo
from greenbench.corpora.utterance import Utterance


def notes(splits: Mapping[str, Sequence[Utterance]], infos: Mapping[str, AudioInfo]) -> Iterator[str]:
    """Yield a line for files that were rescaled, and for training files with the very samples of a test file.

    The latter happens only where the source itself puts copies into different splits.
    """
    gains = {u.path: u.gain for part in splits.values() for u in part if u.gain != 1.0}
    if gains:
        path, gain = next(iter(gains.items()))
        yield f"{len(gains)} files hold samples beyond full scale and were scaled down (first {path}, by {gain:.3g})"
    tested = {infos[u.path].digest: u.path for u in splits.get("test", ()) if infos[u.path].digest}
    heard = {u.path for name in ("pretrain", "train") for u in splits.get(name, ())} - set(tested.values())
    copies = sorted(path for path in heard if infos[path].digest in tested)
    if copies:
        original = tested[infos[copies[0]].digest]
        yield f"{len(copies)} training files hold the same samples as a test file (first {copies[0]}, like {original})"

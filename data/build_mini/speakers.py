"""The voices: espeak-ng variant, formant shift, pitch, range, rate and a gentle equaliser, drawn once per speaker.

A variant belongs either to the test split or to the others, and near-copies of a test variant are used nowhere.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

VOICES = {"en": "en-us", "pt": "pt", "de": "de", "es": "es", "fr": "fr", "it": "it", "nl": "nl", "pl": "pl"}
TEST_VARIANTS = "m8 f5 klatt6 Alicia Denis Gene edward steph2 quincy Nguyen croak pedro david grandma belinda michel"
OTHER_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 klatt klatt2 klatt3 klatt4 klatt5 Alex Andrea Andy Annie Jacky Lee Marco "
    "Mario Michael Mike Storm adam anika antonio aunty benjamin boris ed grandpa gustave kaukovalta marcelo max "
    "paul rob shelby travis victor whisper sandro iven"
)
COUNTS = {"pretrain": 44, "train": 28, "test": 16}


@dataclass(frozen=True)
class Speaker:
    """One voice; ``formants`` scales all frequencies (1.05: a 5 % shorter vocal tract), ``eq_db`` at four bands."""

    name: str
    split: str
    variant: str
    formants: float
    pitch: int
    pitch_range: int
    words_per_minute: int
    eq_db: tuple[float, float, float, float]

    def to_json(self) -> dict[str, object]:
        """Plain values for the card."""
        return {k: v for k, v in asdict(self).items() if k != "name"}


def draw(seed: int) -> list[Speaker]:
    """All speakers of all splits; the same seed gives the same speakers."""
    rng = random.Random(f"speakers-{seed}")
    speakers: list[Speaker] = []
    for split, count in COUNTS.items():
        variants = (TEST_VARIANTS if split == "test" else OTHER_VARIANTS).split()
        for variant in rng.sample(variants, count):
            # two bands keep a variant that serves both pretrain and train apart by at least 5 %
            low, high = {"pretrain": (0.98, 1.08), "train": (0.90, 0.94), "test": (0.92, 1.08)}[split]
            speakers.append(
                Speaker(
                    name=f"s{len(speakers):03d}",
                    split=split,
                    variant=variant,
                    formants=round(rng.uniform(low, high), 3),
                    pitch=rng.randint(25, 75),
                    pitch_range=rng.randint(25, 75),
                    words_per_minute=rng.randint(130, 200),
                    eq_db=tuple(round(rng.uniform(-4, 4), 1) for _ in range(4)),  # type: ignore[arg-type]
                )
            )
    return speakers

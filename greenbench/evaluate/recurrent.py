"""Phone recognition under a small recurrent head: a second opinion, because rankings depend on the probe."""

from __future__ import annotations

import numpy as np
import torch

from greenbench.evaluate.alignment import Inventory
from greenbench.evaluate.context import Context, TaskResult, held_out
from greenbench.evaluate.linear import Standardised
from greenbench.evaluate.phones import AlignedSplit, choose_decoder, score
from greenbench.evaluate.sequence import (
    SequenceHead,
    SequenceSchedule,
    frame_loss,
    in_pieces,
    log_probabilities,
    train_head,
)

HIDDEN = 64
PIECE_FRAMES = 100
SCHEDULE = SequenceSchedule()


def recurrent_phones(
    context: Context,
    inventory: Inventory,
    train: AlignedSplit,
    test: AlignedSplit,
    *,
    schedule: SequenceSchedule = SCHEDULE,
) -> TaskResult:
    """Score phone recognition under a bidirectional GRU of 64 units a direction, trained frame by frame."""
    out = held_out(train.utterances)
    fitting, choosing = np.flatnonzero(~out), np.flatnonzero(out)
    labels = train.frames.split(train.labels)
    data = Standardised.fit(train.frames.layers, train.frames.rows(fitting))
    head = build_head(train.frames.num_layers, train.frames.width, len(inventory), context.seed, schedule)
    pieces = in_pieces(train.frames, PIECE_FRAMES)
    held = np.repeat(out, np.diff(train.frames.offsets))[pieces.offsets[:-1]]
    epoch = train_head(
        head,
        data,
        pieces,
        frame_loss(pieces.split(train.labels)),
        fitting=np.flatnonzero(~held).tolist(),
        choosing=np.flatnonzero(held).tolist(),
        schedule=schedule,
        seed=context.seed,
        progress=context.progress,
    )
    known = log_probabilities(head, data, train.frames)
    decoder, held_out_pct = choose_decoder(
        [known[i] for i in choosing], [train.references[i] for i in choosing], [labels[i] for i in fitting], inventory
    )
    found = log_probabilities(head, data.with_layers(test.frames.layers), test.frames)
    pct, details = score(test, np.concatenate(found), decoder, inventory)
    details |= {
        "layer_weights": head.layer_weights,
        "best_epoch": epoch,
        "epochs": schedule.epochs,
        "held_out_per_pct": round(held_out_pct, 3),
        "hidden": HIDDEN,
    }
    return TaskResult({"phones_recurrent_per_pct": pct}, details)


def build_head(
    layers: int,
    width: int,
    classes: int,
    seed: int,
    schedule: SequenceSchedule,
    *,
    recurrent: bool = True,
    stack: int = 1,
    window: int = 1,
) -> SequenceHead:
    """A head with weights drawn from ``seed``, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SequenceHead(
            layers,
            width,
            classes,
            recurrent=recurrent,
            hidden=HIDDEN,
            dropout=schedule.dropout,
            stack=stack,
            window=window,
        )

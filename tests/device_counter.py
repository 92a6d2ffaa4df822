"""What a training step, or a token decoded, asks of a GPU, counted on the strict arrays: calls that
give it work, and kernels that CuPy adds on its own, and how often the host waits for it.

A call is a ufunc, a function or a method that computes, or a kernel launched by name. On a GPU each
is one launch or more, and a small model's step is little else. `python -m tests.device_counter`
prints tables by operation of W1, W2, W3, M1, encoder-decoders and a token of W1. Read first:
strict_array.py.
"""

import collections
import contextlib
import sys
from dataclasses import dataclass, field

from tests.strict import strict_backend
from tests.strict_array import added, calls, synchronizations
from tinylm import backend as devices
from tinylm.backend import Random
from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS
from tinylm.generate import generate
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.optim import AdamW
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.special import Special
from tinylm.train.trainer import Trainer

# Encoder-decoders as their differences from the defaults: T5's scores have a bias.
SEQ2SEQS = {
    "BART": {},
    "T5": dict(positions="t5", norm="rms", norm_placement="pre", embedding_norm=False, bias=False),
}


@dataclass
class Counted:
    """What was counted: {name: times} of calls, of kernels that CuPy adds, and of waits."""

    calls: collections.Counter = field(default_factory=collections.Counter)
    added: collections.Counter = field(default_factory=collections.Counter)
    waits: collections.Counter = field(default_factory=collections.Counter)


@contextlib.contextmanager
def counted():
    """A context that yields a Counted, complete when the context is left."""
    found = Counted()
    before = calls.copy(), added.copy(), synchronizations.copy()
    yield found
    found.calls = calls - before[0]
    found.added = added - before[1]
    found.waits = synchronizations - before[2]


def adamw(parameters):
    """The optimizer of `tinylm bench`."""
    return AdamW(parameters, **ADAMW)


def trainer_of(work, device="strict", optimizer=adamw):
    """A Trainer of one of `tinylm bench`'s works on a device; optimizer(parameters) makes that."""
    model = work.model().to(device)
    # The last id is an encoder's [MASK].
    ids = Random(0, "bench").integers(0, work.vocab_size - 1, (2, work.batch, work.context + 1))
    if not work.decodes:
        ids = ids[..., :-1]
    return Trainer(
        model,
        work.objective,
        optimizer(model.named_parameters()),
        lambda step, start, stop: ids[step % len(ids), start:stop],
        work.batch,
        ADAMW["lr"],
        clip=CLIP,
    )


def step_of(name, **options):
    """The Counted of the second step of a work: the first also makes what is kept. options as of
    trainer_of.

    The move of the batch to the device is not part of it.
    """
    trainer = trainer_of(WORKS[name], **options)
    trainer.advance()
    with counted() as found:
        trainer.advance()
    return found


def seq2seq_step(**parts):
    """The Counted of the second step of an encoder-decoder of two and two layers of W1's width, its
    batch and half of its T in source and target; `parts` are fields of Seq2SeqConfig.
    """
    work = WORKS["W1"]
    half = work.context // 2
    config = Seq2SeqConfig(
        work.vocab_size, n_layer=2, n_head=work.n_head, d_model=work.d_model, dropout=0.0, **parts
    )
    ids = Random(0, "bench").integers(0, work.vocab_size, (2, work.batch, work.context))
    special = Special(work.vocab_size, pad=0, start=0)
    trainer = Trainer(
        model := Seq2Seq(config, seed=1).to("strict"),
        Seq2SeqLM(special, lambda row, draws: (row[:half], row[half:])),
        adamw(model.named_parameters()),
        lambda step, start, stop: ids[step % 2, start:stop],
        work.batch,
        ADAMW["lr"],
        clip=CLIP,
    )
    trainer.advance()
    with counted() as found:
        trainer.advance()
    return found


def decoding_step(name, **sampling):
    """The Counted of one token of a work's model, decoded with a cache."""
    tokens = generate(WORKS[name].model().to("strict"), [1, 2, 3], 4, **sampling)
    next(tokens), next(tokens)  # the prompt; the cache grows
    with counted() as found:
        next(tokens)
    return found


def table(name, found):
    """The figures of a work as lines of text, the most frequent first."""
    lines = [
        f"{name}: {found.calls.total()} calls, {found.added.total()} kernels added by CuPy, "
        f"{found.waits.total()} waits"
    ]
    for counts in (found.calls, found.added, found.waits):
        lines += [f"  {times:>6}  {what}" for what, times in counts.most_common()]
        lines.append("")
    return "\n".join(lines)


def main(names):
    """Print the table of each work."""
    devices.register("strict", strict_backend)
    for name in names or ("W1", "W2", "W3", "M1"):
        print(table(name, step_of(name)), flush=True)
    if names:
        return
    for name, parts in SEQ2SEQS.items():
        print(table(f"{name}-like encoder-decoder", seq2seq_step(**parts)), flush=True)
    print(table("W1, a token", decoding_step("W1")), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

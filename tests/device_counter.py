"""What a training step asks of a GPU, counted on the strict arrays: calls that give it work, and
kernels that CuPy adds on its own, and how often the host waits for it.

A call is a ufunc, a function or a method that computes, or a kernel launched by name. On a GPU each
is one launch or more, and a small model's step is little else. `python -m tests.device_counter`
prints the table of W1, W2, W3 and M1 by operation. Read first: strict_array.py.
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
from tinylm.optim import AdamW
from tinylm.train.trainer import Trainer


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


def trainer_of(work, device="strict"):
    """A Trainer of one of `tinylm bench`'s works on a device."""
    model = work.model().to(device)
    # The last id is an encoder's [MASK].
    ids = Random(0, "bench").integers(0, work.vocab_size - 1, (2, work.batch, work.context + 1))
    if not work.decodes:
        ids = ids[..., :-1]
    return Trainer(
        model,
        work.objective,
        AdamW(model.named_parameters(), **ADAMW),
        lambda step, start, stop: ids[step % len(ids), start:stop],
        work.batch,
        ADAMW["lr"],
        clip=CLIP,
    )


def step_of(name):
    """The Counted of the second step of a work: the first also makes what is kept.

    The move of the batch to the device is not part of it.
    """
    trainer = trainer_of(WORKS[name])
    trainer.advance()
    with counted() as found:
        trainer.advance()
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


if __name__ == "__main__":
    main(sys.argv[1:])

"""Every way to read a context gives the same loss and gradients on every device."""

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import EXAMPLES, gpt
from tinylm.backend import Random, to_cpu
from tinylm.finetune import answers
from tinylm.finetune.context.auto_compressor import AutoCompressor, SegmentedLM
from tinylm.finetune.context.context_distillation import ContextDistillation, remember_teacher
from tinylm.finetune.context.contexts import make_batch
from tinylm.finetune.context.gist import GistCompressor
from tinylm.finetune.context.soft_context import (
    SoftContext,
    compress_context,
    random_context,
    token_context,
)

STUDENTS = {
    "model": gpt,
    "gist": lambda: GistCompressor(gpt(), 2),
    "soft": lambda: SoftContext(gpt(), random_context(gpt(), 2)),
    "replace": lambda: AutoCompressor(gpt(), 2, "replace", segment=2),
    "accumulate": lambda: AutoCompressor(gpt(), 2, "accumulate", segment=2),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_students_learn_the_same_on_every_device(name, device):
    def outcome(device):
        student, task = STUDENTS[name]().to(device), ContextDistillation(gpt(1).to(device))
        loss, metrics = task.loss(student, make_batch(EXAMPLES).to(device))
        loss.backward()
        said = answers(student, task, EXAMPLES)
        return (
            metrics["loss"],
            {
                n: to_cpu(p.grad.data)
                for n, p in student.named_parameters().items()
                if p.grad is not None
            },
            said,
        )

    (here, mine, said), (there, theirs, also) = outcome("cpu"), outcome(device)
    assert there == pytest.approx(here, rel=1e-12) and said == also
    for n, g in mine.items():
        np.testing.assert_allclose(theirs[n], g, atol=1e-12)


def test_gists_are_kept_on_every_device(device):
    model, batch = GistCompressor(gpt(), 2).to(device), make_batch(EXAMPLES).to(device)
    found = model.read_compressed(model.compress(batch.context, batch.context_real), batch)
    np.testing.assert_allclose(found.numpy(), model.read(batch).numpy(), rtol=0, atol=1e-12)


def test_segments_are_read_on_every_device(device):
    model, task = AutoCompressor(gpt(), 1, "accumulate").to(device), SegmentedLM(2, 3)
    batch = task.make_batch([e.context for e in EXAMPLES], Random(0)).to(device)
    assert np.isfinite(task.loss(model, batch)[1]["loss"])


def test_contexts_are_compressed_on_every_device(device):
    model = gpt().to(device)
    examples = remember_teacher(model, EXAMPLES[:1])
    soft = compress_context(model, ContextDistillation(), examples, 2, steps=1)
    assert soft.sigma.device == device
    whole = SoftContext(model, token_context(model, EXAMPLES[0].context))
    assert ContextDistillation().loss(whole, make_batch(examples).to(device))[1][
        "loss"
    ] == pytest.approx(0, abs=1e-12)

"""How to check the gradients of what all rooms of alignment use."""

import numpy as np

from tinylm.align import aggregate, averaged, response_logprobs, summed, unpacked
from tinylm.align.exact import (
    entropy,
    expectation,
    kl,
    log_partition,
    objective,
    optimal_policy,
)
from tinylm.autograd import log_softmax
from tinylm.autograd.registry import call, register
from tinylm.backend import device_of, to_device
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.cases import Reader

COUNTED = np.array([[False, True, True], [True, False, False]])
SEGMENTS = np.array([[0, 0, 1], [0, -1, -1]])


def _there(array, like):
    """A constant on the device of a Tensor."""
    return to_device(np.asarray(array), device_of(like.data))


def _logprobs_of(model, temperature):
    batch = InstructionTuning().make_batch([encode_sft([1, 0], [2]), encode_sft([2], [1, 1, 0])])
    batch = batch.to(device_of(model.parameters()[0].data))
    return response_logprobs(model, batch, temperature)[0]


register(
    "align.response_logprobs",
    _logprobs_of,
    lambda rng: [call(Reader(rng), 1.0), call(Reader(rng), 0.6)],
    covers=(),
    source="book eq. 4.2",
)
for _name, _function in (
    ("summed", summed),
    ("averaged", averaged),
    ("aggregate", aggregate),
):
    register(
        f"align.{_name}",
        lambda logp, f=_function, **options: f(logp, _there(COUNTED, logp), **options),
        lambda rng: [call(rng.normal(size=(2, 3)))],
        covers=(),
    )
register(
    "align.aggregations",
    lambda logp, **options: aggregate(logp, _there(COUNTED, logp), **options),
    lambda rng: [
        call(rng.normal(size=(2, 3)), how="sequence"),
        call(rng.normal(size=(2, 3)), how="fixed", total=7),
    ],
    covers=(),
    source="Shao et al. 2024; Yu et al. 2025; Liu et al. 2025",
)
register(
    "align.unpacked",
    lambda logp: unpacked(logp, _there(COUNTED, logp), _there(SEGMENTS, logp))[0],
    lambda rng: [call(rng.normal(size=(2, 3)))],
    covers=(),
)
# Of policies by their logits, since log-probabilities are not free to move.
for _name, _function, _source in (
    ("kl", lambda p, q: kl(log_softmax(p), log_softmax(q)), ""),
    ("entropy", lambda p, q: entropy(log_softmax(p)), ""),
    ("expectation", lambda p, f: expectation(log_softmax(p), f), ""),
    ("log_partition", lambda p, r: log_partition(log_softmax(p), r, 0.5), "book eq. 4.75"),
    ("optimal_policy", lambda p, r: optimal_policy(log_softmax(p), r, 0.5), "book eq. 4.79"),
    (
        "objective",
        lambda p, q: objective(
            log_softmax(p), log_softmax(q), _there(np.arange(3, dtype=p.dtype), p), 0.5
        ),
        "book eq. 4.73",
    ),
):
    register(
        f"align.{_name}",
        _function,
        lambda rng: [call(rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))],
        covers=(),
        source=_source,
    )

"""Gradient checks of recurrence, and the typical errors of a backward pass through time.

Read next: autograd/check/mutants.py, which plants such errors.
"""

import numpy as np

from tinylm.autograd.check import known_errors
from tinylm.autograd.engine.backward import grad
from tinylm.autograd.engine.tensor import Tensor, recording
from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.nn.cases import module
from tinylm.nn.module import Module
from tinylm.nn.recurrence import recurrent, state_space
from tinylm.nn.recurrence.recurrent import CELLS, Recurrent
from tinylm.nn.recurrence.state_space import MambaBlock

register(
    "gru_scan",
    recurrent.gru_scan,
    lambda rng: [
        call(normal(rng, B, T, 3 * H), normal(rng, H, 3 * H), normal(rng, H), normal(rng, B, H))
        for B, T, H in [(2, 3, 2), (1, 1, 3)]
    ],
    source="Cho et al. 2014",
)
register(
    "lstm_scan",
    recurrent.lstm_scan,
    lambda rng: [
        call(normal(rng, B, T, 4 * H), normal(rng, H, 4 * H), normal(rng, B, H), normal(rng, B, H))
        for B, T, H in [(2, 3, 2), (1, 1, 3)]
    ],
    source="Hochreiter & Schmidhuber 1997",
)
register(
    "linear_recurrence",
    state_space.linear_recurrence,
    lambda rng: [
        call(normal(rng, *shape), normal(rng, *shape))
        for shape in [(2, 5, 3), (1, 1, 2), (2, 2), (1, 10, 1, 2)]
    ],
    source="Gu & Dao 2023; Blelloch 1990",
)


def _by_one_step(step, argument):
    """A wrong derivative of a scan: the state before each step is taken for a constant.

    So nothing flows back through time. `argument` is 0 for the inputs, 1 for the weight.
    """

    def wrong(g, out, right, inputs, weight, *rest):
        leaves = [Tensor(inputs, requires_grad=True), Tensor(weight, requires_grad=True)]
        total = 0
        with recording(True):
            for t in range(inputs.shape[1]):
                after = step(t, *leaves, out, *rest)
                total = total + (after * np.take(g, t, axis=-2)).sum()
        return grad(total, leaves)[argument].data

    return wrong


def _gru_step(t, inputs, weight, out, bias, h):
    if t > 0:
        h = out[:, t - 1]
    return recurrent.gru_step(inputs[:, t], Tensor(h), weight, bias)


def _lstm_step(t, inputs, weight, out, h, c):
    if t > 0:
        h, c = out[0, :, t - 1], out[1, :, t - 1]
    return recurrent.stack(recurrent.lstm_step(inputs[:, t], Tensor(h), Tensor(c), weight))


for _name, _step in (("gru_scan", _gru_step), ("lstm_scan", _lstm_step)):
    known_errors.FUSED[_name] = [
        (i, "the state before taken for a constant", _by_one_step(_step, i)) for i in (0, 1)
    ]


def read(module: Module, x: Tensor, *state: Tensor) -> Tensor:
    """Outputs and state of a recurrent module."""
    return module(x, state or None)


STATES = {"rnn": 1, "gru": 1, "lstm": 2}  # arrays (B, H) in the state of a cell


for _name, _cell in CELLS.items():
    register(
        f"nn.{_cell.__name__}",
        lambda cell, x, *state: cell(x, state),
        lambda rng, kind=_cell, n=STATES[_name]: [
            call(
                module(kind, 3, 2),
                normal(rng, 2, 3),
                *(normal(rng, 2, 2) for _ in range(n)),
            )
        ],
        covers=(),
    )
    register(
        f"nn.Recurrent({_name})",
        read,
        lambda rng, kind=_cell, n=STATES[_name]: [
            call(Recurrent(module(kind, 2, 2)), normal(rng, 2, 3, 2)),
            call(
                Recurrent(module(kind, 2, 2)),
                normal(rng, 1, 2, 2),
                *(normal(rng, 1, 2) for _ in range(n)),
            ),
        ],
        covers=(),
        source="book section 2.3.3",
    )


def _scan_inputs(rng, B=2, T=4, E=2, N=3):
    return (
        normal(rng, B, T, E),
        uniform(rng, 0.2, 1.5, B, T, E),
        -uniform(rng, 0.3, 2, E, N),
        normal(rng, B, T, N),
        normal(rng, B, T, N),
        normal(rng, E),
    )


register(
    "selective_scan",
    lambda *args, **options: state_space.selective_scan(*args, **options),
    lambda rng: [
        call(*_scan_inputs(rng)),
        call(*_scan_inputs(rng), normal(rng, 2, 2, 3)),
        *(
            call(*_scan_inputs(rng, 1, 3), recurrence=way)
            for way in (state_space.recurrence_by_steps, state_space.recurrence_by_doubling)
        ),
    ],
    covers=(),
    source="Gu & Dao 2023",
)
register(
    "nn.MambaBlock",
    read,
    lambda rng: [
        call(module(MambaBlock, 2, d_inner=2, d_state=2, width=3, rank=1), normal(rng, 1, 3, 2)),
        call(
            module(MambaBlock, 2, d_inner=2, d_state=1, width=2, rank=1),
            normal(rng, 1, 2, 2),
            normal(rng, 1, 1, 2),
            normal(rng, 1, 2, 1),
        ),
    ],
    covers=(),
    source="Gu & Dao 2023",
)
for _name in ("moving_average", "moving_average_by_convolution"):
    register(
        _name,
        getattr(state_space, _name),
        lambda rng: [
            call(normal(rng, 2, 4, 3), uniform(rng, 0.2, 0.9, 3), uniform(rng, 0.2, 0.9, 3))
        ],
        covers=(),
        source="Ma et al. 2023",
    )

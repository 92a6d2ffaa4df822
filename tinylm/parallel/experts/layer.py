"""A layer of experts of which each rank has some   (Lepikhin et al. 2021; Fedus et al. 2022).

    route     every rank chooses experts for its own tokens
    dispatch  a choice that finds room goes to the rank that has the expert     all-to-all
    compute   each expert reads the rows of all ranks, in the order of the ranks
    combine   results go back, and are weighed by the gates                     all-to-all

What an expert computes of a row does not depend on the others, and room and penalties are those of
whole sequences and batches (routers.py), so the result is that of one process. Under tensor
parallelism every rank of the group routes all tokens of its data rank alike, and has a part of the
hidden features of its experts, whose results are partial sums: the whole layer stands between the
stream's enter and leave, as a feed-forward does. So the router's gradient is partial too, and is
summed over the group. Read first: routers.py. Read next: ../stage.py.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, concatenate, embedding, linear, pad
from tinylm.backend import to_cpu, to_device
from tinylm.nn.experts import MixtureOfExperts, real_rows
from tinylm.nn.module import Module
from tinylm.nn.routing import choose, spread
from tinylm.parallel.experts.exchange import counts_from_all, exchange
from tinylm.parallel.tensor.cuts import Along, Whole, share_of
from tinylm.parallel.tensor.layers import Stream

if TYPE_CHECKING:
    from tinylm.parallel.experts.routers import Routers


class PartOfLinear(Module):
    """x W + b of which this rank has some rows of W, and one rank of the group adds b.

    weight  (own, d_out);  bias  (d_out,) or None;  adds  whether it is this rank
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, adds: bool) -> None:
        self.weight, self.bias, self.adds = weight, bias, adds

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias if self.adds else None)


class SplitExperts(Module):
    """A MixtureOfExperts of which this rank has some experts, and a part of each.

    layer    MixtureOfExperts, whose experts are cut by split_experts()
    number   of the layer in the whole model
    stream   Stream of the tensor group;  routers  Routers
    """

    def __init__(
        self, layer: MixtureOfExperts, number: Any, stream: Stream, routers: "Routers"
    ) -> None:
        self.router, self.number = layer.router, number
        first, last = routers.bounds[routers.comm.rank]
        # By their numbers in the whole layer, which are their names.
        self.experts = {e: layer.experts[e] for e in range(first, last)}
        self.k, self.gates, self.capacity_factor = layer.k, layer.gates, layer.capacity_factor
        self.stream, self.routers = stream, routers

    def __call__(self, x: Tensor, marks: Any = None) -> Tensor:
        """x (B, T, D) of the stream -> the same shape.

        marks  Marks, of all T that the ranks of the stream have together; None: all are tokens, and
               nothing is penalized
        """
        x = self.stream.enter(x)  # (B, T, D), with all tokens of the tensor group
        B, T, D = x.shape
        rows = x.reshape(B * T, D)
        counted = real = None
        if marks is not None:
            real, counted = marks.real, marks.counted.reshape(-1)
        found = real_rows(real, B * T, "SplitExperts")
        if found is None:
            y = self._run(rows, np.arange(B * T, like=rows.data), (B, T), counted)
        else:
            at, rank = found
            if counted is not None:
                counted = counted[at]
            y = spread(self._run(embedding(at, rows), at, (B, T), counted), rank)
        return self.stream.leave(y.reshape(B, T, D))

    def _run(self, rows, at, shape, counted):
        """The partial results of rows (n, D), which are the rows `at` of (B, T) = shape; counted
        (n,) as of Routers.penalized().
        """
        logits = self.router(rows)  # (n, D) -> (n, E)
        logits = self.routers.penalized(self.number, logits, self.k, counted)
        experts, gates = choose(logits, self.k, self.gates)  # (n, k) each
        factor = self.capacity_factor if self.training else None
        kept = self.routers.kept(experts, at, shape, factor)
        token, choice = np.nonzero(kept)
        order = np.argsort(experts[token, choice], kind="stable")  # by expert, so by rank too
        token, choice = token[order], choice[order]
        outputs = self._computed(embedding(token, rows), experts[token, choice])  # (kept, D)
        row_of = np.zeros_like(experts)  # (n, k); row 0 of zeros for choices that are dropped
        row_of[token, choice] = np.arange(1, len(token) + 1, like=token)
        picked = embedding(row_of, pad(outputs, ((1, 0), (0, 0))))  # (n, k, D)
        return (picked * gates.reshape(*gates.shape, 1)).sum(axis=1)

    def _computed(self, x, experts):
        """Rows (m, D) for experts (m,), which are sorted, computed by the ranks that have these."""
        comm, bounds = self.routers.comm, self.routers.bounds
        counts = to_cpu(np.bincount(experts, minlength=bounds[-1][1]))  # (E,)
        came = counts_from_all(comm, counts, bounds)  # (ranks, own E)
        sent = tuple(int(counts[a:b].sum()) for a, b in bounds)
        received = tuple(came.sum(axis=1).tolist())
        x = exchange(x, comm=comm, sent=sent, received=received)
        # From each rank rows come by expert: rank 0's for the first, rank 0's for the second, ..
        local = np.concatenate([np.repeat(np.arange(came.shape[1]), row) for row in came])
        places, outputs = [], []
        for j, expert in enumerate(self.experts.values()):
            mine = np.nonzero(local == j)[0]
            if len(mine):
                places.append(mine)
                outputs.append(expert(embedding(to_device(mine, x.device), x)))
        # Without rows x itself, so that the exchange is differentiated here as on other ranks.
        y = x
        if outputs:
            back = to_device(np.argsort(np.concatenate(places)), x.device)
            y = embedding(back, concatenate(outputs))
        return exchange(y, comm=comm, sent=received, received=sent)


def split_experts(
    layer: MixtureOfExperts, number: Any, stream: Stream, routers: "Routers"
) -> tuple:
    """Cut a MixtureOfExperts.

    returns  (SplitExperts, {name of a parameter, of all experts: Cut})
    """
    comm = stream.comm
    cuts = {"router.weight": Whole(summed=True)}
    for e, expert in enumerate(layer.experts):
        for name in ("hidden", "gate", "up", "out"):
            part = getattr(expert, name, None)
            if part is None:
                continue
            weight, bias = Along(1), Along(0)
            if name == "out":
                weight, bias = Along(0), Whole(summed=True)
            cuts[f"experts.{e}.{name}.weight"] = weight
            own = share_of(part.weight, weight, comm)
            if part.bias is None:
                setattr(expert, name, PartOfLinear(own, None, True))
                continue
            cuts[f"experts.{e}.{name}.bias"] = bias
            own_bias = share_of(part.bias, bias, comm)
            adds = name != "out" or comm.rank == 0
            setattr(expert, name, PartOfLinear(own, own_bias, adds))
    return SplitExperts(layer, number, stream, routers), cuts

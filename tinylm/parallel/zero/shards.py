"""What a rank holds of parameters, gradients and moments, in buckets   (Rajbhandari et al. 2020).

Gradients are summed over the ranks that have read different tokens, bucket by bucket. What is then
still a part, since a tensor group or several stages hold the same parameters and each has
differentiated what it computed, is summed over them: from stage 1 of ZeRO on slices of it. So
buckets are cut where their slices would not agree between ranks that must add them:

    summed      what a tensor group holds whole and computes parts of: the rest differs in size
    tokens      the tied table, of the first and the last stage
    biases      of the scores of all layers, on all stages
    experts     which the ranks of an expert group do not have in common: all else is sliced among
                them too

and from stage 2 on for each block, so that little more than a slice is ever there. Read first:
bucket.py, units.py. Read next: ../step.py.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinylm.optim.flat import sum_of_squares
from tinylm.parallel.experts.routers import is_expert
from tinylm.parallel.stage import unit_of
from tinylm.parallel.tensor.cuts import Whole
from tinylm.parallel.together import Together
from tinylm.parallel.zero.bucket import Bucket
from tinylm.parallel.zero.units import GatheredUnits, ReducedUnits, Units

BIASES = "position_bias."  # parameters that every stage holds
TABLE = "tokens.weight"


class Shards:
    """The buckets of a rank, and an optimizer for each.

    together        Together, whose parameters are moved into buckets
    make_optimizer  FlatParameters -> optimizer of optim/
    stage           of ZeRO, 0 to 3

    buckets     {key: Bucket}
    optimizers  list, one for each
    """

    def __init__(self, together: Together, make_optimizer: Callable, stage: int) -> None:
        self.together, self.mesh, self.stage = together, together.mesh, stage
        found, seen = {}, set()
        for name, p in together.parameters.items():
            if p.requires_grad and id(p) not in seen:
                seen.add(id(p))
                found.setdefault(self._key(name), {})[name] = p
        self.buckets = {}
        for key, tensors in sorted(found.items(), key=lambda item: item[0][2]):  # experts last
            # Every block reads the biases of scores, which are few: each rank keeps them whole.
            own = min(stage, 2) if key[0] == "biases" else stage
            ranks = self.mesh.data if key[2] else self.mesh.readers
            self.buckets[key] = Bucket(tensors, ranks, own)
        self.optimizers = [make_optimizer(bucket.flat) for bucket in self.buckets.values()]
        self.flat = next(iter(self.buckets.values())).flat  # says where numbers live
        for part in together.stages:
            part.units = self._units(part)

    def _key(self, name):
        """(part of the model, whether a tensor group sums it, whether it is of one expert): of one
        bucket.
        """
        part = _part(name, self.together.config.kv_sharing)
        whole_pass = self.stage < 2 and part not in ("tokens", "biases")
        return "all" if whole_pass else part, self._summed(name), is_expert(name)

    def _summed(self, name):
        return self.mesh.tp.size > 1 and self.together.cuts[name].summed

    def _units(self, stage):
        """The Units of a stage of the pipeline, or of a chunk of one."""
        if self.stage < 2:
            return Units()
        share = self.together.config.kv_sharing
        layers = [unit_of(layer, share) for layer in range(stage.first, stage.last, share)]
        ends = ["begin"] * stage.begins + ["end"] * stage.ends
        units, late = {}, []
        for (part, *_), bucket in self.buckets.items():
            readers = [unit for unit in [*layers, *ends] if unit == part]
            if part == "tokens":
                readers = ends if self.together.config.tied else ["begin"] * stage.begins
            elif part == "biases":
                readers = ["biases"]
            for unit in readers:
                units.setdefault(unit, []).append(bucket)
            if part == "biases" or len(readers) > 1:
                late.append(bucket)
        kind = GatheredUnits if self.stage == 3 else ReducedUnits
        return kind(units, late)

    def begin(self) -> None:
        """Before the passes of a step: gradients are those of the step before."""
        for bucket in self.buckets.values():
            bucket.begin()

    def complete(self) -> None:
        """After them: sum gradients over all ranks that have parts of them."""
        buckets, mesh = self.buckets, self.mesh
        for bucket in buckets.values():
            bucket.reduce()
        _sum_in_one(mesh.tp, [b.flat.grad for (_, summed, _), b in buckets.items() if summed])
        _sum_in_one(mesh.pp, [b.flat.grad for (part, *_), b in buckets.items() if part == "biases"])
        if mesh.ends is not None and self.together.config.tied:
            _sum_in_one(
                mesh.ends, [b.flat.grad for (part, *_), b in buckets.items() if part == "tokens"]
            )

    def sum_of_squares(self) -> float:
        """Of the gradient: this rank's part, so that the sum over all ranks has every number once.

        Of what a tensor group holds whole its first rank counts, of what several stages hold the
        first stage.
        """
        total = 0.0
        for bucket in self.buckets.values():
            start, (low, high) = bucket.kept[0], bucket.own
            for name, first, last in bucket.pieces():
                first, last = max(first, low), min(last, high)
                if first < last and self._counts(name):
                    total += sum_of_squares(bucket.flat.grad[first - start : last - start])
        return total

    def _counts(self, name):
        if isinstance(self.together.cuts[name], Whole) and self.mesh.tp.rank:
            return False
        shared = name.startswith(BIASES) or (name == TABLE and self.together.config.tied)
        return self.mesh.first or not shared

    def step(self, lr: float, scale: float = 1.0) -> None:
        """One update of what this rank updates, which the others get from it.

        lr      learning rate of this step
        scale   multiplies every gradient first
        raises  as the optimizer; then nothing has changed
        """
        pairs = list(zip(self.buckets.values(), self.optimizers))
        for bucket, optimizer in pairs:
            optimizer.check(0, len(bucket.flat), scale)
        for bucket, optimizer in pairs:
            optimizer.update(lr, 0, len(bucket.flat), scale)
            bucket.spread()

    def state(self) -> dict[str, np.ndarray | int]:
        """{name: counter, or moments (n,) of the n numbers that this rank updates}, as the
        optimizers have them.
        """
        states = [optimizer.state() for optimizer in self.optimizers]
        found = dict(states[0])
        for key, value in found.items():
            if np.ndim(value):
                found[key] = np.concatenate([state[key] for state in states])
        return found

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state() of the same rank of the same layout."""
        for (start, stop), optimizer in zip(self._places(), self.optimizers):
            cut = {k: v[start:stop] if np.ndim(v) else v for k, v in state.items()}
            optimizer.load_state(cut)

    def _places(self):
        """(start, stop) of each bucket in what this rank updates of all."""
        ends = np.cumsum([len(bucket.flat) for bucket in self.buckets.values()]).tolist()
        return zip([0, *ends], ends)

    def pieces(self, numbers: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield {name: this rank's share, as it would have it without ZeRO} bucket by bucket, out
        of numbers that belong to what it updates, (n,). All ranks must go through them.
        """
        for (start, stop), bucket in zip(self._places(), self.buckets.values()):
            yield bucket.whole(numbers[start:stop])

    def own(self, shares: Any) -> np.ndarray:
        """What this rank updates, (n,), out of shares as it would have them without ZeRO."""
        return np.concatenate([bucket.part(shares) for bucket in self.buckets.values()])

    def parameters(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield {name: this rank's share} of all parameters. All ranks must go through them."""
        trained = {name for bucket in self.buckets.values() for name in bucket.tensors}
        shares = self.together.parameters.items()
        yield {name: p.data for name, p in shares if name not in trained}
        for bucket in self.buckets.values():
            yield bucket.whole(bucket.flat.data)

    def load_parameters(self, shares: Any) -> None:
        """Take over {name: share} of all parameters."""
        trained = set()
        for bucket in self.buckets.values():
            bucket.load(shares)
            trained |= bucket.tensors.keys()
        for name in shares.keys() - trained:
            self.together.parameters[name].assign_(shares[name])


def _part(name, share):
    """The part of a model that a parameter belongs to, as a stage computes it; of `share` layers
    that have keys and values in common.
    """
    if name.startswith("blocks."):
        return unit_of(int(name.split(".")[1]), share)
    if name.startswith(BIASES):
        return "biases"
    if name == TABLE:
        return "tokens"
    return "end" if name.startswith(("norm.", "head")) else "begin"


def _sum_in_one(comm, arrays):
    """Sum arrays over ranks in place, by one all-reduce."""
    if comm.size == 1 or not arrays:
        return
    flat = np.concatenate(arrays)
    comm.all_reduce(flat)
    start = 0
    for array in arrays:
        array[...] = flat[start : start + len(array)]
        start += len(array)

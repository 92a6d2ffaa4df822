"""What the layers of experts of a rank have in common.

    experts   are shared by the ranks of an ep group, which read different rows of the batch
    room      is that of a sequence: ranks with parts of it know each other's choices
    load      is that of the whole batch: of all ranks, and of all micro-batches

The load of an expert is in the penalty of every token. With one micro-batch it is summed over ranks
as the layer is passed; with several they are all passed once, without gradients, before the first
is differentiated, as train/whole_batch.py has it for one process. The penalty counts once: the
ranks of a tensor group have the same tokens, and only the first one differentiates it. Each layer
adds its own where it stands, so that stages need not hand it on. Read next: layer.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor, is_recording, no_grad, topk
from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn.routing import admitted, loads, token_penalties
from tinylm.parallel.collectives import put_together
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.experts.exchange import pushed
from tinylm.parallel.mesh import Mesh
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.pretrain.batch import IGNORE, Batch

if TYPE_CHECKING:
    from tinylm.parallel.sequence.layers import Tokens


NAMES = ".experts."  # in the names of parameters that only the ranks with that expert have


@dataclass(frozen=True)
class Marks:
    """What a layer of experts is told of a micro-batch, at this rank's positions.

    real     (B, T) bool, False for padding; None: all are tokens
    counted  (B, T) bool, True where a target counts
    """

    real: np.ndarray | None
    counted: np.ndarray


class Routers:
    """The groups and the penalties of a rank's layers of experts.

    mesh     Mesh;  tokens  Tokens of its context group
    config   GPTConfig
    raises   ConfigError if there are fewer experts than ranks to share them
    """

    def __init__(self, mesh: Mesh, tokens: "Tokens", config: GPTConfig) -> None:
        self.comm, self.tokens, self.config = mesh.ep, tokens, config
        self.present = expert_layers(config) > 0
        check_experts(config, mesh.ep.size)
        self.bounds = [share_rows(config.experts, r, mesh.ep.size) for r in range(mesh.ep.size)]
        self.readers, self.first = mesh.readers, mesh.tp.rank == 0
        self.balance = self.z = 0.0
        self.share = 1.0  # of a token in the loss
        self.load = {}  # layer -> (E,), of the whole batch where it is known
        self.counting = False
        self.penalty = 0.0  # so far in this step

    def penalize(self, balance: float, z: float, rows: int) -> None:
        """Take the weights of the penalties, and the rows of a batch, by which they are divided."""
        self.balance, self.z, self.share = balance, z, 1 / rows

    def begin(self, batch: Batch, held: np.ndarray | None) -> None:
        """Begin a micro-batch.

        batch   Batch of this data rank;  held  (B, T) bool, False for padding; None: all are tokens
        """
        if not self.present:
            return
        if held is not None and held.all():
            held = None
        positions = self.tokens.own(batch.inputs.shape[1])
        real = None if held is None else held[:, positions]
        self.tokens.held = held
        self.tokens.marks = Marks(real, batch.targets[:, positions] != IGNORE)

    def count_first(self, pipeline: Pipeline, parts: Sequence[Batch], windows: Callable) -> None:
        """Find the load of the whole batch before it is differentiated, where that is needed.

        pipeline  Pipeline;  parts  micro-batches;  windows  as in Pipeline.run()
        """
        self.load, self.penalty = {}, 0.0
        if not self.present or not self.balance or len(parts) == 1:
            return
        start, self.counting = pipeline.rng.counter, True
        with no_grad():
            for k, part in enumerate(parts):
                with windows(k):
                    pipeline.score(part, lambda logits, batch: (None, None, 0.0))
                pipeline.rng.counter = start
        self.counting = False
        for layer in sorted(self.load):
            self.readers.all_reduce(self.load[layer])

    def kept(
        self, experts: np.ndarray, at: np.ndarray, shape: tuple[int, int], factor: float | None
    ) -> np.ndarray:
        """Which choices find room, in the order of the whole sequences: (n, k) bool.

        experts  (n, k), of the rows `at` of the (B, T) = shape positions of this rank
        factor   capacity factor, or None
        """
        E, k = self.config.experts, experts.shape[1]
        if factor is None:
            return admitted(experts, E, None)
        B, T = shape
        chosen = np.full_like(experts, -1, shape=(B * T, k))  # -1: padding
        chosen[at] = experts
        chosen = chosen.reshape(B, T, k)
        places = self.tokens.places()
        lengths = tuple(len(own) for own in places)
        order = np.argsort(np.concatenate(places))
        whole = put_together(self.tokens.comm, chosen, 1, lengths)[:, order]  # (B, total, k)
        real = whole[..., 0] >= 0
        found = np.zeros_like(whole, bool)
        found[real] = admitted(whole[real], E, factor, np.nonzero(real)[0])
        return found[:, places[self.tokens.comm.rank]].reshape(B * T, k)[at]

    def penalized(self, layer: int, logits: Tensor, k: int, counted: np.ndarray | None) -> Tensor:
        """The scores of a layer, whose gradient will have that of the penalty in it.

        logits   (n, E);  k  experts of a token
        counted  (n,) bool, True where a target counts; None outside of a batch
        returns  logits
        """
        weighed = self.first and (self.balance or self.z) and counted is not None
        if not weighed or not (self.counting or is_recording()):
            return logits
        if self.counting or layer not in self.load:
            own = loads(topk(logits.data, k)[1], logits.shape[1], counted).astype(float)
            if self.counting:
                self.load[layer] = self.load.get(layer, 0.0) + own
                return logits
            self.load[layer] = self.readers.all_reduce(own)
        leaf = Tensor(logits.data, requires_grad=True)
        penalty = token_penalties(leaf, self.load[layer], counted, self.balance, self.z)
        penalty.backward(self.share)
        self.penalty += self.share * float(penalty.item())
        return pushed(logits, added=leaf.grad.data)


def expert_layers(config: GPTConfig) -> int:
    """How many layers of a decoder have experts: the pattern may be longer than it has layers."""
    words = [config.layer("feed_forward", layer) for layer in range(config.n_layer)]
    return words.count("experts")


def check_experts(config: GPTConfig, size: int) -> None:
    """Raise ConfigError, with the nearest layout, if `size` ranks cannot share the experts."""
    if size == 1:
        return
    if not expert_layers(config):
        raise ConfigError(
            f"layout: this decoder has no experts for ep={size} ranks to share; dp={size} has as "
            "many, which share the batch as well"
        )
    if config.experts < size:
        raise ConfigError(
            f"layout: ep={size} cannot share {config.experts} experts; ep={config.experts} can"
        )


def is_expert(name: str) -> bool:
    """Whether a parameter, by its name in the whole model, belongs to one expert."""
    return NAMES in name

"""Training by workers that share the batch and send their gradients in another way than all at once
at the end: Trainer with one method exchanged. Read first: buckets.py, compression.py. Read next:
local.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.models.decoder.gpt import GPT
from tinylm.optim.flat import FlatParameters
from tinylm.parallel.communicate.communicator import Communicator, SingleProcess
from tinylm.parallel.communicate.simulator import Simulated
from tinylm.parallel.data.buckets import BucketedSum
from tinylm.parallel.data.compression import CompressedSum, TopK
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.language.causal import CausalLM
from tinylm.train.step import share_of_gradient
from tinylm.train.trainer import Trainer


class BucketedTrainer(Trainer):
    """Trainer whose workers sum their gradients in buckets while the last micro-batch is
    differentiated. Every number has the bits that Trainer gives it.

    nbytes   of a bucket;  others as of Trainer
    """

    def __init__(
        self,
        *arguments: Any,
        nbytes: int = 25 << 20,
        comm: Communicator | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, comm=comm or SingleProcess(), **options)
        parameters = self.model.parameters()  # in the order of the forward pass
        self.sums = BucketedSum(self.optimizer.flat, self.comm, nbytes, parameters)

    def gradient(
        self,
        model: GPT,
        objective: CausalLM,
        flat: FlatParameters,
        batch: Batch,
        first: int,
        total: int,
        micro_batch: int,
        *rest: Sequence[Random] | Simulated,
    ) -> float:
        """Leave the sum over workers of a step's gradient; returns this worker's share of loss."""
        passes_left = -(-len(batch) // (micro_batch or max(len(batch), 1)))

        def backward(loss, cotangent):
            nonlocal passes_left
            passes_left -= 1
            if passes_left:
                loss.backward(cotangent)
            else:
                self.sums.backward(loss, cotangent)

        given = model, objective, flat, batch, first, total, micro_batch, *rest
        return share_of_gradient(*given, backward=backward)

    def add_up(self, comm: Communicator, flat: FlatParameters) -> None:
        """Nothing is left to do."""


class CompressedTrainer(Trainer):
    """Trainer whose workers send a part of their gradients.

    code      function of (n, dtype) -> TopK, OneBit or ScaledSign
    feedback  False: what is not sent is lost;  others as of Trainer

    What a worker has not sent is not part of a state(): a run that goes on begins without it.
    """

    def __init__(
        self,
        *arguments: Any,
        code: TopK,
        feedback: bool = True,
        comm: Communicator | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, comm=comm or SingleProcess(), **options)
        flat = self.optimizer.flat
        self.sums = CompressedSum(self.comm, code(len(flat), flat.data.dtype), feedback)

    def add_up(self, comm: Communicator, flat: np.ndarray) -> None:
        """The sum over workers of what their messages say."""
        flat.grad[...] = self.sums.sum(flat.grad)

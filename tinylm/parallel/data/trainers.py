"""Training by workers that share the batch and send their gradients in another way than all at once
at the end: Trainer with one method exchanged. Read first: buckets.py, compression.py. Read next:
local.py.
"""

from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.data.buckets import BucketedSum
from tinylm.parallel.data.compression import CompressedSum
from tinylm.train.step import share_of_gradient
from tinylm.train.trainer import Trainer


class BucketedTrainer(Trainer):
    """Trainer whose workers sum their gradients in buckets while the last micro-batch is
    differentiated. Every number has the bits that Trainer gives it.

    nbytes   of a bucket;  others as of Trainer
    """

    def __init__(self, *arguments, nbytes=25 << 20, comm=None, **options):
        super().__init__(*arguments, comm=comm or SingleProcess(), **options)
        parameters = self.model.parameters()  # in the order of the forward pass
        self.sums = BucketedSum(self.optimizer.flat, self.comm, nbytes, parameters)

    def gradient(self, model, objective, flat, batch, first, total, micro_batch, *rest):
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

    def add_up(self, comm, flat):
        """Nothing is left to do."""


class CompressedTrainer(Trainer):
    """Trainer whose workers send a part of their gradients.

    code      function of (n, dtype) -> TopK, OneBit or ScaledSign
    feedback  False: what is not sent is lost;  others as of Trainer

    What a worker has not sent is not part of a state(): a run that goes on begins without it.
    """

    def __init__(self, *arguments, code, feedback=True, comm=None, **options):
        super().__init__(*arguments, comm=comm or SingleProcess(), **options)
        flat = self.optimizer.flat
        self.sums = CompressedSum(self.comm, code(len(flat), flat.data.dtype), feedback)

    def add_up(self, comm, flat):
        """The sum over workers of what their messages say."""
        flat.grad[...] = self.sums.sum(flat.grad)

"""Training in parallel (book section 2.2.3): the communicator protocol, its engines, and what is
built on them.

In order: communicate/ (the protocol and its engines), data_parallel.py and launcher.py (workers
that share a batch), mesh.py (a grid of ranks), collectives.py (inside a differentiable program),
tensor/ (matrices cut), stage.py and pipeline/ (layers shared), sequence/ (sequences in parts),
experts/ (a mixture of experts on several ranks), together.py (a decoder that ranks share), zero/
(states cut among data ranks), step.py (training); data/ (gradients summed while others are
computed, or sent in part), rounding.py (how far float32 may be from one process), asynchronous.py
(without waiting), tiled_matmul.py (a product on one device), plan/ (what it all costs on real
machines).
"""

from tinylm.parallel.communicate.communicator import Communicator, SingleProcess, share
from tinylm.parallel.communicate.shared import SharedMemory
from tinylm.parallel.data_parallel import average_gradients, share_rows, token_weight
from tinylm.parallel.launcher import default_workers, launch, obstacle

__all__ = [
    "Communicator",
    "SharedMemory",
    "SingleProcess",
    "average_gradients",
    "default_workers",
    "launch",
    "obstacle",
    "share",
    "share_rows",
    "token_weight",
]

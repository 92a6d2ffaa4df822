"""Training in parallel (book section 2.2.3): the communicator protocol, its engines, and what is
built on them; plan/ is the planner, which computes what training costs on machines far away.
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

"""tinylm: language models from the ground up, on NumPy.

    import tinylm as tl
    x = tl.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()            # x.grad is 2 x

Tensors and operations stand here under NumPy's names. The parts of a model are in tl.nn, optimizers
in tl.optim, and each floor above in its own package, imported when first used. `python -m tinylm`
lists the commands.
"""

import importlib
from typing import Any

from tinylm import autograd as _autograd
from tinylm.autograd import *  # noqa: F403
from tinylm.autograd import Tensor, first_order_only, fused, grad, is_recording, no_grad, primitive
from tinylm.backend import Random

__version__ = "0.1.0"
_packages = (
    "align",
    "autograd",
    "backend",
    "book",
    "cli",
    "data",
    "errors",
    "finetune",
    "generate",
    "models",
    "nn",
    "optim",
    "parallel",
    "pretrain",
    "prompt",
    "tokenizers",
    "train",
)


def __getattr__(name: str) -> Any:
    # Python calls this for names that are missing here: tl.nn imports tinylm.nn on first use.
    if name in _packages:
        return importlib.import_module(f"tinylm.{name}")
    raise AttributeError(f"module 'tinylm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_packages})

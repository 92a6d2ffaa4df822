"""tinylm: language models from the ground up, on NumPy.

    import tinylm as tl
    x = tl.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()            # x.grad is 2 x
    tl.load(RUN).complete("Once")       # a trained model, see load

Tensors and operations stand here under NumPy's names. The parts of a model are in tl.nn, optimizers
in tl.optim, and each floor above in its own package, imported when first used. `python -m tinylm`
lists the commands.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tinylm import autograd
from tinylm.autograd import *  # noqa: F403
from tinylm.backend import Random

if TYPE_CHECKING:  # for editors and checkers of types; at run time see __getattr__
    from tinylm import (
        align,
        backend,
        book,
        cli,
        data,
        errors,
        explore,
        finetune,
        generate,
        models,
        nn,
        optim,
        parallel,
        pretrain,
        prompt,
        tokenizers,
        train,
    )
    from tinylm.prompt.protocol.from_disk import load

__version__ = "0.1.0"
__all__ = [*autograd.__all__, "Random", "load"]
_packages = (
    "align",
    "autograd",
    "backend",
    "book",
    "cli",
    "data",
    "errors",
    "explore",
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
    if name == "load":
        return importlib.import_module("tinylm.prompt.protocol.from_disk").load
    from tinylm.autograd.engine import habits

    raise AttributeError(habits.of_tinylm(name))


def __dir__() -> list[str]:
    return sorted({*__all__, *_packages})

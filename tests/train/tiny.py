"""Models, trainers and runs small enough to train in a test."""

import numpy as np

from tinylm.data import RandomWindows
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain import CausalLM
from tinylm.train import TrainConfig
from tinylm.train.trainer import Trainer

V, T, B = 11, 8, 6

TEXT = "".join(
    f"{word} {i % 7} times; " for i in range(200) for word in ("the cat", "a dog", "no bird")
)


def tiny_model(seed=0, dropout=0.0, dtype=np.float64, **options):
    """A GPT of 2 layers and width 16."""
    config = GPTConfig(
        vocab_size=V, context=T, n_layer=2, n_head=2, d_model=16, dropout=dropout, **options
    )
    return GPT(config, seed, dtype)


def tiny_tokens(n=400):
    return np.random.default_rng(7).integers(0, V, n)


def tiny_trainer(
    comm=None, dropout=0.0, dtype=np.float64, objective=None, micro_batch=0, device="cpu"
):
    """A trainer of a tiny GPT on random tokens, batches of 6 windows."""
    model = tiny_model(dropout=dropout, dtype=dtype).to(device)
    optimizer = AdamW(FlatParameters(model.named_parameters(), getattr(comm, "empty", None)))
    windows = RandomWindows(tiny_tokens(), T, B, seed=3)
    objective = objective or CausalLM()
    return Trainer(
        model, objective, optimizer, windows.batch, B, 1e-2, 1.0, micro_batch, seed=3, comm=comm
    )


def tiny_config(folder, **changes):
    """A TrainConfig that trains on TEXT in a tenth of a second; folder is a Path for the text and
    the run.
    """
    data = folder / "text.txt"
    if not data.exists():
        data.write_text(TEXT)
    values = dict(
        data=str(data),
        tokenizer="chars",
        n_layer=2,
        n_head=2,
        d_model=16,
        context=8,
        steps=8,
        batch_size=4,
        warmup=2,
        dropout=0.1,
        workers=1,
        eval_every=4,
        eval_batches=2,
        checkpoint_every=3,
        out=str(folder / "run"),
    )
    return TrainConfig(**{**values, **changes})


def same_bits(a, b):
    """True if two dicts hold the same names and the same bits."""
    return a.keys() == b.keys() and all(
        np.asarray(a[k]).tobytes() == np.asarray(b[k]).tobytes() for k in a
    )

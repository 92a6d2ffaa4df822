"""The peers of `tinylm bench`: the same GPT, or encoder, in torch's fastest form. Used only to
measure.

Fused attention (scaled_dot_product_attention), fused AdamW, all cores or a GPU, of masked LM the
output layer at the masked positions alone; the same functions with the same constants, so that
losses can be compared.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS, MaskedWork
from tinylm.machine import cores
from tinylm.pretrain.batch import IGNORE


def _model(work, config, data):
    """A torch module with this work's weights."""
    from torch import nn
    from torch.nn import functional as F

    H, D = work.n_head, work.d_model

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
            self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.hidden, self.out = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

        def forward(self, x, cache=None, at=0):
            B, T, _ = x.shape
            # (B, T, 3D) -> three of (B, H, T, K)
            q, k, v = (
                part.view(B, T, H, D // H).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).split(D, dim=2)
            )
            if cache is None:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                # Keys and values of the T new positions join those of the `at` earlier ones.
                cache[0][:, :, at : at + T], cache[1][:, :, at : at + T] = k, v
                y = F.scaled_dot_product_attention(
                    q, cache[0][:, :, : at + T], cache[1][:, :, : at + T]
                )
            x = x + self.proj(y.transpose(1, 2).reshape(B, T, D))
            return x + self.out(F.gelu(self.hidden(self.norm2(x)), approximate="tanh"))

    class Peer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(config.vocab_size, D)
            self.positions = nn.Embedding(config.context, D)
            self.blocks = nn.ModuleList(Block() for _ in range(work.n_layer))
            self.norm = nn.LayerNorm(D)

        def forward(self, ids, caches=None, at=0):
            x = self.tokens(ids) + self.positions.weight[at : at + ids.shape[1]]
            for i, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[i], at)
            return F.linear(self.norm(x), self.tokens.weight)

    names = {
        "tokens.weight": "tokens.weight",
        "positions.table.weight": "positions.weight",
        "norm.gain": "norm.weight",
        "norm.bias": "norm.bias",
    }
    for i in range(work.n_layer):
        for n in range(2):
            names |= {
                f"blocks.{i}.norms.{n}.gain": f"blocks.{i}.norm{n + 1}.weight",
                f"blocks.{i}.norms.{n}.bias": f"blocks.{i}.norm{n + 1}.bias",
            }
        names |= _maps_of_block(i)
    return _loaded(Peer(), names, data)


def _loaded(model, names, data):
    """A torch module with these weights; names: ours -> torch's."""
    import torch

    # torch keeps (out, in)
    linear = ("qkv.weight", "proj.weight", "hidden.weight", "out.weight", "dense.weight")
    weights = {}
    for old, new in names.items():
        array = data[old].T if new.endswith(linear) else data[old]
        weights[new] = torch.from_numpy(np.ascontiguousarray(array))
    model.load_state_dict(weights)
    return model


def _encoder(work, config, data):
    """A torch module of BERT's architecture and head with this work's weights."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    H, D, eps = work.n_head, work.d_model, config.norm_eps

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(D, eps), nn.LayerNorm(D, eps)
            self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.hidden, self.out = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

        def forward(self, x):
            B, T, _ = x.shape
            # (B, T, 3D) -> three of (B, H, T, K)
            q, k, v = (
                part.view(B, T, H, D // H).transpose(1, 2) for part in self.qkv(x).split(D, dim=2)
            )
            y = F.scaled_dot_product_attention(q, k, v)
            x = self.norm1(x + self.proj(y.transpose(1, 2).reshape(B, T, D)))
            return self.norm2(x + self.out(F.gelu(self.hidden(x))))

    class Peer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(config.vocab_size, D)
            self.positions = nn.Embedding(config.context, D)
            self.norm = nn.LayerNorm(D, eps)
            self.blocks = nn.ModuleList(Block() for _ in range(work.n_layer))
            self.dense, self.head_norm = nn.Linear(D, D), nn.LayerNorm(D, eps)
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))

        def forward(self, ids, at):
            x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]])
            for block in self.blocks:
                x = block(x)
            x = x.reshape(-1, D)[at]  # (B, T, D) -> (n, D), at the masked positions
            x = self.head_norm(F.gelu(self.dense(x)))
            return F.linear(x, self.tokens.weight, self.bias)

    names = {
        "tokens.weight": "tokens.weight",
        "positions.table.weight": "positions.weight",
        "head.dense.weight": "dense.weight",
        "head.dense.bias": "dense.bias",
        "head.bias": "bias",
    }
    norms = {"embedding_norm": "norm", "head.norm": "head_norm"}
    for i in range(work.n_layer):
        norms |= {f"blocks.{i}.norms.{n}": f"blocks.{i}.norm{n + 1}" for n in range(2)}
        names |= _maps_of_block(i)
    for ours, theirs in norms.items():
        names |= {f"{ours}.gain": f"{theirs}.weight", f"{ours}.bias": f"{theirs}.bias"}
    return _loaded(Peer(), names, data)


def _maps_of_block(i):
    """Names of the weights and biases of block i's linear maps: ours -> torch's."""
    names = {}
    for ours, theirs in (
        ("attention.qkv", "qkv"),
        ("attention.out", "proj"),
        ("feed_forward.hidden", "hidden"),
        ("feed_forward.out", "out"),
    ):
        names |= {f"blocks.{i}.{ours}.{p}": f"blocks.{i}.{theirs}.{p}" for p in ("weight", "bias")}
    return names


def torch_training(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that takes one training step on batch i and returns its loss."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(cores())
    work, device = WORKS[job["work"]], job.get("device", "cpu")
    masked = isinstance(work, MaskedWork)
    model = (_encoder if masked else _model)(work, work.config(), data).to(device)
    narrow = contextlib.nullcontext
    if job.get("bfloat16"):
        narrow = functools.partial(torch.autocast, device, torch.bfloat16)
    groups = [
        {
            "params": [p for p in model.parameters() if p.ndim >= 2],
            "weight_decay": ADAMW["weight_decay"],
        },
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=ADAMW["lr"], betas=ADAMW["betas"], eps=ADAMW["eps"], fused=True
    )
    forward = model
    if job.get("compile"):
        forward = torch.compile(model)
    batches = []
    for drawn in data["batches"]:
        inputs, targets = work.examples(drawn)
        counts = np.flatnonzero(targets != IGNORE)
        chosen = torch.from_numpy(targets.reshape(-1)[counts]).to(device)
        given = [torch.from_numpy(np.ascontiguousarray(inputs)).to(device)]
        if masked:  # only these positions need logits
            given.append(torch.from_numpy(counts).to(device))
        batches.append((given, chosen))

    def step(i):
        given, targets = batches[i % len(batches)]
        with narrow():
            logits = forward(*given)
            loss = F.cross_entropy(logits.reshape(-1, work.vocab_size), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def torch_decoding(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that decodes one more token greedily and returns its logit."""
    import torch

    torch.set_num_threads(cores())
    work, device = WORKS[job["work"]], job.get("device", "cpu")
    config = work.config(decoding=True)
    model = _model(work, config, data).eval().to(device)
    forward = model
    if job.get("compile"):
        forward = torch.compile(model, dynamic=True)
    shape = (1, work.n_head, config.context, work.d_model // work.n_head)
    caches = [torch.zeros(2, *shape, device=device) for _ in range(work.n_layer)]
    state = {}

    @torch.inference_mode()
    def step(i):
        at = i % work.decode_tokens
        if at == 0:
            state["token"] = torch.tensor([[1]], device=device)
        logits = forward(state["token"], caches, at)[0, -1]
        value, state["token"] = logits.max(), logits.argmax().view(1, 1)
        return value.item()

    return step

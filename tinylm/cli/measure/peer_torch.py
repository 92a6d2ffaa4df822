"""The peer of `tinylm bench`: the same GPT in torch's fastest form. Used only to measure.

Fused attention (scaled_dot_product_attention), fused AdamW, all cores or a GPU; the same function
with the same constants, so that losses can be compared.
"""

import contextlib
import functools

import numpy as np

from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS
from tinylm.machine import cores


def _model(work, config, data):
    """A torch module with this work's weights."""
    import torch
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
        for ours, theirs in (
            ("attention.qkv", "qkv"),
            ("attention.out", "proj"),
            ("feed_forward.hidden", "hidden"),
            ("feed_forward.out", "out"),
        ):
            names |= {
                f"blocks.{i}.{ours}.{p}": f"blocks.{i}.{theirs}.{p}" for p in ("weight", "bias")
            }
    model = Peer()
    linear = ("qkv.weight", "proj.weight", "hidden.weight", "out.weight")  # torch keeps (out, in)
    model.load_state_dict(
        {
            new: torch.from_numpy(
                np.ascontiguousarray(data[old].T if new.endswith(linear) else data[old])
            )
            for old, new in names.items()
        }
    )
    return model


def torch_training(job, data, comm):
    """A function that takes one training step on batch i and returns its loss."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(cores())
    work, device = WORKS[job["work"]], job.get("device", "cpu")
    model = _model(work, work.config(), data).to(device)
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
    all_batches = torch.from_numpy(data["batches"]).to(device)

    def step(i):
        rows = all_batches[i % len(all_batches)]
        with narrow():
            logits = forward(rows[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, work.vocab_size), rows[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def torch_decoding(job, data, comm):
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

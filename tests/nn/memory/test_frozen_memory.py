"""A frozen model learns to work with a memory: only the gate between them moves   (book section
2.3.6).
"""

import numpy as np

from tests.numeric import host
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.nn import SelfAttention
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.attention.sparse import gather_keys, top_keys
from tinylm.nn.memory.retrieved import HeadGate, gated_attention, separate_attention
from tinylm.optim import Adam, FlatParameters

B, H, T, D, STORED, NEAR = 2, 2, 6, 8, 20, 3


def test_training_moves_the_gate_and_not_one_bit_of_the_frozen_model(device, rng):
    base = SelfAttention(D, H, Random(0), dtype=np.float64).to(device)
    for p in base.parameters():
        p.requires_grad = False
        p.data[...] *= 15  # from 0.02 to about 1 / sqrt(D): outputs that differ by more than dust
    # The store is what the same projections made of an earlier text.
    x, earlier = (Tensor(rng.normal(size=(B, n, D)), device=device) for n in (T, STORED))
    q, k, v = split_heads(base.qkv(x), H, H)
    _, store_k, store_v = split_heads(base.qkv(earlier), H, H)
    index, _ = top_keys((q @ store_k.swapaxes(-1, -2)).data, NEAR, causal=False)
    far = gather_keys(store_k, index, H), gather_keys(store_v, index, H)

    # Right is what head 0 reads from the text and head 1 from the memory, so the gates 1 and 0.
    local, remembered, *_ = separate_attention(q, k, v, *far)
    share = Tensor(np.array([1.0, 0.0]).reshape(H, 1, 1), device=device)
    wanted = base.out(merge_heads(local * share + remembered * (1 - share))).detach()

    gate = HeadGate(H, np.float64).to(device)
    optimizer = Adam(FlatParameters(gate.named_parameters()), lr=0.1)
    before, losses = {name: value.tobytes() for name, value in base.state_dict().items()}, []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (
            (base.out(merge_heads(gated_attention(q, k, v, *far, gate()))) - wanted) ** 2
        ).mean()
        loss.backward()
        assert all(p.grad is None for p in base.parameters()) and (host(gate.b.grad) != 0).all()
        losses.append(float(loss.item()))
        optimizer.step()
    assert {name: value.tobytes() for name, value in base.state_dict().items()} == before
    # Adam moves b by at most about 0.1 a step: 4 after 40, sigmoid(+-4) = 0.98 and 0.02; 0.9 leaves
    # room for smaller steps.
    g = host(gate()).ravel()
    assert g[0] > 0.9 and g[1] < 0.1
    assert losses[-1] < 0.05 * losses[0]  # quadratic in 1 - g: from 0.5^2 to below 0.1^2, 1/25

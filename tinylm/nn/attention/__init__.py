"""Attention of every kind   (book sections 2.1.1, 2.3.2 and 2.3.4; 1.2.2.2).

In order: multi_head.py (the layer of a transformer), patterns.py (which tokens see which),
sparse.py, linear_attention.py, sharing.py (keys, values or weights shared between layers),
two_stream.py (permuted language modeling). cases.py holds the gradient checks of sparse, linear and
shared attention.
"""

from tinylm.nn.attention.multi_head import (
    CrossAttention,
    SelfAttention,
    capped_attention,
    merge_heads,
    projected,
    split_heads,
)

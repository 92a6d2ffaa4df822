"""A transformer block: attention and feed-forward, each around the residual stream (book eqs. 2.4,
2.5).

What a block is made of is handed in; how the parts are arranged is a function of norm.py. Read
next: models/decoder/gpt.py.
"""

from tinylm.autograd import dropout
from tinylm.nn.module import Module


class Block(Module):
    """Attention, cross-attention if there is one, and feed-forward.

    attention, feed_forward  modules
    norms                    one norm per sub-layer (a pair of them where the placement takes two)
    place                    placement function: (x, branch, norm) -> x, one of PLACEMENTS
    dropout                  of each branch while training, drawn from rng
    cross                    CrossAttention, or None; its norm stands between the other two
    """

    def __init__(self, attention, feed_forward, norms, place, rng, dropout=0.0, cross=None):
        self.attention, self.cross, self.feed_forward = attention, cross, feed_forward
        self.norms, self.place, self.dropout, self.rng = list(norms), place, dropout, rng

    def __call__(self, x, memory=None, memory_mask=None, real=None, **options):
        """x (B, T, D), memory (B, S, D) for cross-attention; options go to the attention.

        real     (B, T) bool for a layer of experts, True for tokens; None for other feed-forwards
        options  rotation, mask, bias, cache, layer
        """
        p = self.dropout if self.training else 0.0
        norms = iter(self.norms)
        x = self.place(x, lambda h: dropout(self.attention(h, **options), p, self.rng), next(norms))
        if self.cross is not None:
            x = self.place(
                x, lambda h: dropout(self.cross(h, memory, memory_mask), p, self.rng), next(norms)
            )
        forward = self.feed_forward if real is None else lambda h: self.feed_forward(h, real)
        return self.place(x, lambda h: dropout(forward(h), p, self.rng), next(norms))


class ParallelBlock(Module):
    """x + attention(norm(x)) + feed_forward(norm(x)): both read the same stream, so they can run at
    the same time (Wang & Komatsuzaki 2021; PaLM, Falcon).

    norms    one that both branches read through (PaLM, Falcon 7B), or one each (GPT-NeoX, Falcon
             40B)
    others   as in Block
    """

    def __init__(self, attention, feed_forward, norms, rng, dropout=0.0):
        self.attention, self.feed_forward, self.norms = attention, feed_forward, list(norms)
        self.dropout, self.rng = dropout, rng

    def __call__(self, x, real=None, **options):
        """x (B, T, D); real as in Block; options go to the attention."""
        p = self.dropout if self.training else 0.0
        first = self.norms[0](x)
        second = first if len(self.norms) == 1 else self.norms[1](x)
        forward = self.feed_forward(second) if real is None else self.feed_forward(second, real)
        return (
            x
            + dropout(self.attention(first, **options), p, self.rng)
            + dropout(forward, p, self.rng)
        )

"""How many parameters a language model has, in closed form, and the models of the book's Table 2.2.

The book prints depth, width, heads and a rounded total. Hidden width, vocabulary, tying and head width are not in
the table: they are recalled from the models' published configurations. With them every total comes out, and that is
evidence: where the table prints as many key-value heads as query heads for LLaMA2-70B, Mistral and Falcon, only the
smaller number of the real models fits the printed total. DeepSeek-V3 (671B, 61 layers, width 7168, 128/128 heads) is
left out: experts and latent attention follow another formula. Read next: gpt.py, which builds what is counted here.
"""
from dataclasses import dataclass

from tinylm.nn import GATES


@dataclass(frozen=True)
class ModelSize:
    """What the number of parameters depends on; sizes in the book's symbols."""

    n_layer: int                      # L
    d_model: int                      # D
    n_head: int                       # H
    n_kv_head: int                    # G
    d_hidden: int                     # F
    vocab_size: int                   # V
    learned_positions: int = 0        # rows of a learned position table; 0 for rotary positions
    gated: bool = True                # three feed-forward matrices instead of two
    tied: bool = False                # output weights are the embedding table
    bias: bool = False                # in linear maps
    norm_bias: bool = False           # layer norms with a bias; RMS norms have none
    qkv_bias: bool = False            # in the query, key and value maps alone
    head_width: int | None = None     # K; D / H if None
    norms: int = 2                    # per block
    final_norm: bool = True
    printed: float = 0.0              # billions, as Table 2.2 prints them
    printed_kv: int | None = None     # key-value heads as Table 2.2 prints them, where they differ from n_kv_head

    @classmethod
    def of(cls, config):
        """The size of a GPTConfig."""
        c = config
        return cls(c.n_layer, c.d_model, c.n_head, c.n_kv_head or c.n_head, c.d_hidden or 4 * c.d_model, c.vocab_size,
                   c.context if c.positions == "learned" else 0, gated=c.activation in GATES, tied=c.tied, bias=c.bias,
                   norm_bias=c.bias and c.norm == "layer", final_norm=c.norm_placement != "post")

    def parameters(self):
        """How many numbers are trained."""
        return self.embeddings() + self.n_layer * self.block() + self.final_norm * self.norm()

    def embeddings(self):
        """Token table, output weights and position table: V D (2 V D if not tied) + context D."""
        return self.d_model * ((1 if self.tied else 2) * self.vocab_size + self.learned_positions)

    def norm(self):
        """One normalization: D gains, and D biases if it has them."""
        return self.d_model * (1 + self.norm_bias)

    def block(self):
        """One block: queries, keys, values and output, (2 H + 2 G) K D; feed-forward, 2 or 3 D F; norms; biases."""
        D, F, K = self.d_model, self.d_hidden, self.head_width or self.d_model // self.n_head
        qkv = (self.n_head + 2 * self.n_kv_head) * K
        weights = D * qkv + self.n_head * K * D + (3 if self.gated else 2) * D * F
        biases = self.bias * (qkv + D + (2 if self.gated else 1) * F + D) + self.qkv_bias * qkv
        return weights + biases + self.norms * self.norm()


def _gpt(*sizes, context, **others):
    return ModelSize(*sizes, learned_positions=context, gated=False, tied=True, bias=True, norm_bias=True, **others)


def _falcon(*sizes, **others):
    return ModelSize(*sizes, vocab_size=65024, gated=False, tied=True, norm_bias=True, **others)


def _gemma2(*sizes, **others):
    return ModelSize(*sizes, vocab_size=256000, tied=True, norms=4, **others)


#                                L    D      H    G    F      V
TABLE_2_2 = {
    "GPT-1": _gpt(              12,   768,  12,  12,  3072,  40478, context=512, printed=0.117, final_norm=False),
    "GPT-2": _gpt(              48,  1600,  25,  25,  6400,  50257, context=1024, printed=1.5),
    "GPT-3": _gpt(              96, 12288,  96,  96, 49152,  50257, context=2048, printed=175),
    "LLaMA2-7B": ModelSize(     32,  4096,  32,  32, 11008,  32000, printed=7),
    "LLaMA2-13B": ModelSize(    40,  5120,  40,  40, 13824,  32000, printed=13),
    "LLaMA2-70B": ModelSize(    80,  8192,  64,   8, 28672,  32000, printed=70, printed_kv=64),
    "LLaMA3-8B": ModelSize(     32,  4096,  32,   8, 14336, 128256, printed=8),
    "LLaMA3-70B": ModelSize(    80,  8192,  64,   8, 28672, 128256, printed=70),
    "LLaMA3.1-405B": ModelSize(126, 16384, 128,   8, 53248, 128256, printed=405),
    "Gemma2-2B": _gemma2(       26,  2304,   8,   4,  9216, head_width=256, printed=2),
    "Gemma2-9B": _gemma2(       42,  3584,  16,   8, 14336, head_width=256, printed=9),
    "Gemma2-27B": _gemma2(      46,  4608,  32,  16, 36864, head_width=128, printed=37),     # a misprint for 27
    "Qwen2.5-0.5B": ModelSize(  24,   896,  14,   2,  4864, 151936, tied=True, qkv_bias=True, printed=0.5),
    "Qwen2.5-7B": ModelSize(    28,  3584,  28,   4, 18944, 152064, qkv_bias=True, printed=7),
    "Qwen2.5-72B": ModelSize(   80,  8192,  64,   8, 29568, 152064, qkv_bias=True, printed=72),
    "Falcon-7B": _falcon(       32,  4544,  71,   1, 18176, norms=1, printed=7, printed_kv=71),
    "Falcon-40B": _falcon(      60,  8192, 128,   8, 32768, printed=40, printed_kv=128),
    "Falcon-180B": _falcon(     80, 14848, 232,   8, 59392, printed=180, printed_kv=232),
    "Mistral-7B": ModelSize(    32,  4096,  32,   8, 14336,  32000, printed=7, printed_kv=32),
}

"""A pretrained encoder under a new decoder: translation with BERT   (book section 1.4.6, Fig. 1.7).

    memory = adapter(BERT(source))  (B, S, D),    Pr(y_i | y_<i, source) = decoder(y_<i, memory)

The encoder reads the source [CLS] x_1 .. x_m [SEP], an adapter may map its states to the width of
the decoder, and the decoder, which begins with <s>, is new. Everything is then trained on pairs of
texts. The two sides may have vocabularies and widths of their own. It is decoded like any
encoder-decoder (generate/protocol/conditional.py). Read next: text_to_text.py, its task.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor, linear, unembedding
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.tasks.heads import hidden_states
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2SeqConfig, Stack, key_mask, padded_positions
from tinylm.nn import INIT_STD, Embedding, Linear, Module, normal_parameter


def copied(encoder: Encoder) -> Module:
    """A copy of an Encoder without heads, in the same mode and on the same device."""
    config = EncoderConfig(**{**vars(encoder.config), "head": None, "classes": 0})
    new = Encoder(config, seed=0, dtype=encoder.tokens.weight.dtype)
    state = encoder.state_dict()
    new.load_state_dict({name: state[name] for name in new.named_parameters().keys()})
    return new.train(encoder.training).to(encoder.tokens.weight.device)


class Grafted(Module):
    """Pr(target | source), the source read by a pretrained encoder. Takes the place of a
    models.Seq2Seq.

    encoder  Encoder; its weights are copied
    config   Seq2SeqConfig of the decoder: vocabulary, widths, n_decoder_layer, start
    adapter  None: the decoder reads the encoder's states; "linear": a new linear map of them; or a
             Module
    seed     of the new weights
    raises   ConfigError if the widths differ and no adapter makes them equal
    """

    def __init__(
        self, encoder: Encoder, config: Seq2SeqConfig, adapter: str | None = None, seed: int = 0
    ) -> None:
        c, dtype, rng = config, encoder.tokens.weight.dtype, Random(seed, "init")
        width = encoder.config.d_model
        if adapter is None and width != c.d_model:
            raise ConfigError(
                f"Grafted: the encoder's states have width {width}, the decoder reads {c.d_model}: "
                'give adapter="linear", or set d_model'
            )
        self.config = c
        self.rng = Random(seed, "dropout")
        self.source_size = encoder.config.vocab_size
        self.encoder = copied(encoder)
        self.adapter = adapter
        if adapter == "linear":
            self.adapter = Linear(width, c.d_model, rng, dtype=dtype)
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, c.embedding_std, dtype)
        self.decoder = Stack(c, rng, dtype, decoder=True)
        self.head = None  # tied: logits are products with the embeddings
        if not c.tied:
            self.head = normal_parameter((c.d_model, c.vocab_size), rng, INIT_STD, dtype)
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng  # one stream for all dropout
        self.to(encoder.tokens.weight.device)

    def __call__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        source_mask: np.ndarray | None = None,
        target_mask: np.ndarray | None = None,
    ) -> Tensor:
        """Logits of every next token of the target, (B, T, V); arguments as of models.Seq2Seq."""
        memory = self.encode(source, source_mask)
        positions = padded_positions(target, target_mask)
        mask = key_mask(target_mask)  # (B, T) -> (B, 1, 1, T)
        return self.logits(self.decode(target, memory, source_mask, None, positions, mask))

    def encode(self, source: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """The memory that the decoder attends to: (B, S) ids, (B, S) bool mask -> (B, S, D)."""
        h = hidden_states(self.encoder, source, mask)  # (B, S, D of the encoder)
        if self.adapter is None:
            return h
        return self.adapter(h)  # -> (B, S, D of the decoder)

    def memory_pairs(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the memory for every decoder layer."""
        return [block.cross.keys_values(memory) for block in self.decoder.blocks]

    def decode(
        self,
        target: np.ndarray,
        memory: Tensor,
        memory_mask: np.ndarray | None = None,
        cache: Any = None,
        positions: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Tensor:
        """Hidden states of the target; arguments as of models.Seq2Seq."""
        x, past = self.tokens(target), 0  # (B, T) -> (B, T, D)
        if cache is not None:
            past = cache.length
        if self.config.embedding_scale != 1:
            x = x * self.config.embedding_scale
        seen = key_mask(memory_mask)  # (B, S) -> (B, 1, 1, S)
        return self.decoder(x, self.rng, past, positions, mask, memory, seen, cache)

    def logits(self, h: Tensor) -> Tensor:
        """The output layer: (B, T, D) -> (B, T, V)."""
        if self.config.logit_scale != 1:
            h = h * self.config.logit_scale
        if self.head is None:
            return unembedding(h, self.tokens.weight)
        return linear(h, self.head)

"""A pretrained encoder under a new decoder: translation with BERT   (book section 1.4.6, Fig. 1.7).

The source [CLS] x_1 .. x_m [SEP] is read by the encoder, an adapter may map its states to what the
decoder expects, and the decoder, which begins with <s>, says the target and is trained from
nothing; then everything is trained on pairs of texts. The two sides may have vocabularies and
widths of their own. It is decoded like any encoder-decoder (generate/protocol/conditional.py). Read
next: text_to_text.py, its task.
"""

import numpy as np

from tinylm.autograd import linear, unembedding
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.tasks.heads import hidden_states
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Stack, key_mask, padded_positions
from tinylm.nn import INIT_STD, Embedding, Linear, Module, normal_parameter


def copied(encoder):
    """An Encoder with the same weights, in arrays of its own, and without heads; in evaluation mode
    as it was.
    """
    config = EncoderConfig(**{**vars(encoder.config), "head": None, "classes": 0})
    new = Encoder(config, seed=0, dtype=encoder.tokens.weight.dtype)
    state = encoder.state_dict()
    new.load_state_dict({name: state[name] for name in new.named_parameters()})
    return new.train(encoder.training).to(encoder.tokens.weight.device)


def identity_adapter(width, dtype=np.float32):
    """A Linear that changes nothing yet: the unit matrix, bias 0."""
    adapter = Linear(width, width, Random(0), dtype=dtype)
    adapter.weight.data[...] = np.eye(width, dtype=dtype)
    return adapter


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

    def __init__(self, encoder, config, adapter=None, seed=0):
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
        self.adapter = (
            Linear(width, c.d_model, rng, dtype=dtype) if adapter == "linear" else adapter
        )
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, c.embedding_std, dtype)
        self.decoder = Stack(c, rng, dtype, decoder=True)
        self.head = (
            None if c.tied else normal_parameter((c.d_model, c.vocab_size), rng, INIT_STD, dtype)
        )
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng  # drawn from after initialization: dropout
        self.to(encoder.tokens.weight.device)

    def __call__(self, source, target, source_mask=None, target_mask=None):
        """Logits of every next token of the target, (B, T, V); arguments as of models.Seq2Seq."""
        memory = self.encode(source, source_mask)
        positions = padded_positions(target, target_mask)
        return self.logits(
            self.decode(
                target, memory, source_mask, positions=positions, mask=key_mask(target_mask)
            )
        )

    def encode(self, source, mask=None):
        """What the decoder reads of a source, (B, S) -> (B, S, D); mask (B, S) bool, True for
        tokens.
        """
        h = hidden_states(self.encoder, source, mask)
        return (
            h if self.adapter is None else self.adapter(h)
        )  # (B, S, D of the encoder) -> (B, S, D)

    def memory_pairs(self, memory):
        """Keys and values of the memory for every decoder layer."""
        return [block.cross.keys_values(memory) for block in self.decoder.blocks]

    def decode(self, target, memory, memory_mask=None, cache=None, positions=None, mask=None):
        """Hidden states of the target; arguments as of models.Seq2Seq."""
        x, past = self.tokens(target), 0 if cache is None else cache.length
        if self.config.embedding_scale != 1:
            x = x * self.config.embedding_scale
        return self.decoder(
            x, self.rng, past, positions, mask, memory, key_mask(memory_mask), cache
        )

    def logits(self, h):
        """The output layer: (B, T, D) -> (B, T, V)."""
        if self.config.logit_scale != 1:
            h = h * self.config.logit_scale
        if self.head is None:
            return unembedding(h, self.tokens.weight)
        return linear(h, self.head)

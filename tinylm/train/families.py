"""From the name of an objective to all that it trains: ids of its own, a model of the right kind, rows of the right length.

    decoder   GPT                   causal, fim; with further heads multi-token
    encoder   Encoder               masked, whole-word, spans, translation, code-switching; with a pooler and two classes the
                                    pairs of sentences; with one more head span-boundary; Electra for replaced, XLNet for permuted
    seq2seq   Seq2Seq               prefix-seq2seq, mass, bert-style, sentinels, ul2 and the denoisers
    one stack under any mask        prefix: an Encoder, since its prefix is read from both sides

A text's vocabulary has no [MASK] and the like; they get the ids after its last word (Special.after), so that the
tokenizer stays what it is. Read next: pretrain/objectives.py, the objectives; rows.py, what they are fed.
"""
import dataclasses
import difflib
from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn import GATES
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.language.prefix import prefix_split
from tinylm.pretrain.objectives import DECODER, ENCODER, OBJECTIVES, SEQ2SEQ, objective
from tinylm.pretrain.special import Special
from tinylm.train.words import dictionary_table, sentence_ends, word_starts

# Where one objective trains several architectures here; of the others each trains one.
CHOICES = {"causal": (DECODER, SEQ2SEQ), "prefix": (DECODER, SEQ2SEQ), "masked": (ENCODER, SEQ2SEQ)}
SPOKEN = "mass", "bert-style"                                # masked for an encoder, said by a decoder: these are of a decoder
AS_SEQ2SEQ = {"prefix": "prefix-seq2seq", "masked": "bert-style"}
SHIFTED = "causal", "prefix", "fim", "multi-token"           # read x_0 .. x_{T-1} and say x_1 .. x_T: rows of T + 1 tokens
PLAIN = "causal", "prefix", "multi-token"                    # of these a decoder needs no special id
PAIRED = "next-sentence", "sentence-order", "bert"
AHEAD = 4                                                    # tokens that multi-token says at once
CONTRAST = 0.1                                               # dropout of contrastive, which compares two readings (Gao et al. 2021)
# What the parts of an encoder, and of an encoder-decoder, are not chosen from.
FIXED = {ENCODER: {"norm": "layer", "positions": "learned", "n_kv_head": None, "bias": True, "tied": True},
         SEQ2SEQ: {"positions": "learned", "n_kv_head": None}, DECODER: {}}


@dataclass(frozen=True)
class Family:
    """What a configuration trains.

    name          of the objective, of OBJECTIVES; with the architecture settled ("masked" by an encoder-decoder: bert-style)
    architecture  encoder, decoder or seq2seq
    special       Special: the vocabulary with its special ids
    """

    name: str
    architecture: str
    special: Special

    @property
    def causal(self):
        """Plain causal language modeling: losses are of whole texts, and count in bits per byte."""
        return self.name == "causal" and self.architecture == DECODER

    @property
    def shifted(self):
        """Rows have one token more than the model reads."""
        return self.name in SHIFTED and self.architecture == DECODER

    @property
    def counted(self):
        """What a loss is a mean over: the tokens of a text, the few targets that an objective asks for, or whole rows."""
        return "tokens" if self.shifted else "rows" if self.name in (*PAIRED, "replaced", "contrastive") else "targets"

    @property
    def pairs(self):
        """Rows are pairs of translations."""
        return self.name == "translation"


def known_objective(name):
    """A check of a setting: the name of an objective."""
    if name in OBJECTIVES:
        return None
    near = difflib.get_close_matches(name, OBJECTIVES, n=3, cutoff=0.4)
    return "must be a name that `tinylm corrupt --list` shows" + (f", such as {' or '.join(near)}" if near else "")


def choices(name):
    """The architectures that `tinylm train` can give to an objective, the usual one first."""
    return CHOICES.get(name) or ((SEQ2SEQ,) if name in SPOKEN else OBJECTIVES[name].trains[:1])


def family_of(config, words):
    """The Family of a TrainConfig for a tokenizer of `words` ids."""
    architecture = config.architecture or choices(config.objective)[0]
    name = AS_SEQ2SEQ.get(config.objective, config.objective) if architecture == SEQ2SEQ else config.objective
    if name in PLAIN and architecture == DECODER:
        return Family(name, architecture, Special(words))
    # At most half of a row is masked, in spans of 3 tokens on average (UL2); one mark more closes the target.
    sentinels = config.context // 6 + 4 if name in ("sentinels", "ul2") else 0
    return Family(name, architecture, Special.after(words, sentinels, others=3 if name == "ul2" else 0))


def check_family(config):
    """Raise ConfigError for settings that the objective's model does not have, or rows too short for it."""
    name, allowed = config.objective, choices(config.objective)
    architecture = config.architecture or allowed[0]
    if architecture not in allowed:
        raise ConfigError(f"objective {name} trains {' or '.join(allowed)} here, not {architecture}: leave --architecture away")
    single = architecture == ENCODER or (name, architecture) == ("prefix", DECODER)
    for field, only in FIXED[ENCODER if single else architecture].items():
        if getattr(config, field) != only:
            raise ConfigError(f"objective {name}: its model has no choice of {field}: leave --{field.replace('_', '-')} away")
    if config.norm_placement == "branch" and (single or architecture == SEQ2SEQ):
        raise ConfigError(f"objective {name}: its model has norm_placement pre or post, not branch")
    if name == "permuted" and config.activation in GATES:
        raise ConfigError(f"objective permuted: its model has no gated feed-forward: activation {config.activation} will not do")
    least = 4 if name == "fim" else 1 if (name in SHIFTED and architecture == DECODER) else 2
    for field in ("context", "short_context"):
        if getattr(config, field) < least and (field == "context" or config.short_steps):
            raise ConfigError(f"objective {name}: rows of {getattr(config, field)} tokens are too short, {field} must be at "
                              f"least {least}")
    if name == "translation" and not config.data:
        raise ConfigError("objective translation needs pairs: --data FILE with lines sentence<TAB>translation")
    if name == "code-switching" and not config.dictionary:
        raise ConfigError("objective code-switching needs --dictionary FILE with lines word<TAB>translation")
    if config.dictionary and name != "code-switching":
        raise ConfigError(f"objective {name} has no use for a dictionary: leave --dictionary away")


def new_objective(family, tokenizer, corpus=None, dictionary=None):
    """The objective of a family.

    corpus      (N,) ids of the training text, where negatives are drawn from
    dictionary  {word: [translations]}, for code-switching
    returns     make_batch(sequences, rng), loss(model, batch)
    raises      ConfigError for a text that lacks what the objective works on
    """
    special, name = family.special, family.name
    if name == "causal" and family.architecture == SEQ2SEQ:
        return Seq2SeqLM(special, say_all)
    needs, more = OBJECTIVES[name].needs, {"corpus": corpus}
    if "starts" in needs:
        more["starts"] = word_starts(tokenizer, special.vocab_size)
    if "ends" in needs:
        more["ends"] = sentence_ends(tokenizer)
        if name == "sentence-permutation" and not len(more["ends"]):
            raise ConfigError("objective sentence-permutation: no token of the vocabulary ends in . ! or ?, so there are no "
                              "sentences: use another tokenizer or objective")
    if "dictionary" in needs:
        more["dictionary"] = dictionary_table(dictionary, tokenizer, special.vocab_size)
    return objective(name, special, **more)


def say_all(ids, draws):
    """A task for an encoder-decoder: nothing is read (but [CLS]), everything is said: language modeling by the decoder."""
    return prefix_split(ids, 0)


def new_model(config, family):
    """The model of a family in the sizes of a TrainConfig, freshly initialized from its seed."""
    name, dtype = family.name, np.dtype(config.dtype).type
    if family.architecture == SEQ2SEQ:
        return Seq2Seq(seq2seq_config(config, family.special), config.seed, dtype)
    if family.shifted and name != "prefix":
        model = GPT(config.model(family.special.vocab_size), config.seed, dtype)
        return MultiTokenHeads(model, AHEAD, config.seed) if name == "multi-token" else model
    return fit_to_width(new_encoder(config, family, dtype), config.d_model)


def new_encoder(config, family, dtype):
    """The encoder of a family, as its class initializes it."""
    name, shape = family.name, encoder_config(config, family)
    if name == "permuted":
        return XLNet(XLNetConfig(family.special.vocab_size, segments=False, **_shared(config)), config.seed, dtype)
    if name == "replaced":
        return Electra(dataclasses.replace(shape, head="replaced"), generator_config(shape), config.seed, dtype)
    model = Encoder(shape, config.seed, dtype)
    if name == "span-boundary":
        model.boundary = SpanBoundaryHead(config.d_model, shape.vocab_size, Random(config.seed, "init", "boundary"), dtype=dtype)
    return model


def _shared(config):
    return {field: getattr(config, field) for field in ("n_layer", "n_head", "d_model", "d_hidden", "activation", "dropout")}


def encoder_config(config, family):
    """The EncoderConfig of a family: room for [CLS] and [SEP] around `context` tokens, and the heads its objective needs."""
    name, paired = family.name, family.name in PAIRED
    marks = 0 if name == "prefix" else 3 if paired or family.pairs else 1
    shape = _shared(config)
    if name == "contrastive":
        shape["dropout"] = config.dropout or CONTRAST
    return EncoderConfig(family.special.vocab_size, config.context + marks, segments=2 if paired else 0,
                         languages=2 if family.pairs else 0, norm_placement=config.norm_placement, pooler=paired,
                         classes=2 if paired else 0,
                         head=None if name in ("next-sentence", "sentence-order", "contrastive") else "token", **shape)


def generator_config(discriminator):
    """A generator a quarter as wide as its discriminator, with tables of the same width   (Clark et al. 2020, section 3.2)."""
    c = discriminator
    heads = max(1, c.n_head // 4)
    return dataclasses.replace(c, n_head=heads, d_model=c.d_model // c.n_head * heads, d_embed=c.d_model, head="token",
                               d_hidden=c.d_hidden and max(1, c.d_hidden * heads // c.n_head))


def seq2seq_config(config, special):
    """The Seq2SeqConfig of a TrainConfig. Corruptions may lengthen a row: every second token a span of none is the most."""
    return Seq2SeqConfig(special.vocab_size, 2 * config.context + 4, norm=config.norm, norm_placement=config.norm_placement,
                         embedding_norm=config.norm_placement == "post", bias=config.bias, tied=config.tied, start=special.start,
                         **_shared(config))


def decoder_of(model, config, words):
    """The GPT of a run that continues plain text: without further heads, and of the text's own vocabulary.

    model    of load_run;  config its TrainConfig;  words ids of the tokenizer
    returns  GPT; special ids, which come last, lose their rows: what is left is Pr(token | it is a word)
    raises   ConfigError, saying what to do instead, if the run has no decoder
    """
    model = getattr(model, "model", model)
    if not isinstance(model, GPT):
        what = ("an encoder-decoder says a target for a source (in Python: tinylm.generate.conditional.Conditional)"
                if isinstance(model, Seq2Seq) else "its prefix is read in both directions, which generating does not do here"
                if config.objective == "prefix" else "an encoder tells what is hidden and does not go on with a text")
        raise ConfigError(f"the run was trained with objective {config.objective}: {what}; `tinylm eval` scores it, and "
                          "training ends with examples. To go on with texts, train with objective causal")
    if config.objective != "fim" or model.config.vocab_size == words:
        return model
    cut = GPT(dataclasses.replace(model.config, vocab_size=words), dtype=model.tokens.weight.dtype)
    state = model.state_dict()
    state["tokens.weight"] = state["tokens.weight"][:words]
    if "head" in state:
        state["head"] = state["head"][:, :words]
    cut.load_state_dict(state)
    return cut.train(model.training)

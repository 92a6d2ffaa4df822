"""From the name of an objective to what it takes: ids of its own, the kind of model, rows of the
right length.

    decoder   GPT                   causal, fim; with further heads multi-token
    encoder   Encoder               masked, whole-word, spans, translation, code-switching; with a pooler and two classes the
                                    pairs of sentences; with one more head span-boundary; Electra for replaced, XLNet for permuted
    seq2seq   Seq2Seq               prefix-seq2seq, mass, bert-style, sentinels, ul2 and the denoisers
    one stack under any mask        prefix: an Encoder, since its prefix is read from both sides

A text's vocabulary has no [MASK] and the like; they get the ids after its last word
(Special.after), so that the tokenizer stays what it is. Read next: build.py, which makes model and
objective.
"""

import difflib
from dataclasses import dataclass

from tinylm.errors import ConfigError
from tinylm.nn import GATES
from tinylm.pretrain.objectives import DECODER, ENCODER, OBJECTIVES, SEQ2SEQ
from tinylm.pretrain.special import Special

# Where one objective trains several architectures here; of the others each trains one.
CHOICES = {"causal": (DECODER, SEQ2SEQ), "prefix": (DECODER, SEQ2SEQ), "masked": (ENCODER, SEQ2SEQ)}
SPOKEN = "mass", "bert-style"  # masked for an encoder, said by a decoder: these are of a decoder
AS_SEQ2SEQ = {"prefix": "prefix-seq2seq", "masked": "bert-style"}
SHIFTED = (
    "causal",
    "prefix",
    "fim",
    "multi-token",
)  # read x_0 .. x_{T-1} and say x_1 .. x_T: rows of T + 1 tokens
PLAIN = "causal", "prefix", "multi-token"  # of these a decoder needs no special id
PAIRED = "next-sentence", "sentence-order", "bert"
AHEAD = 4  # tokens that multi-token says at once
CONTRAST = 0.1  # dropout of contrastive, which compares two readings (Gao et al. 2021)
# What the parts of an encoder, and of an encoder-decoder, are not chosen from.
FIXED = {
    ENCODER: {
        "norm": "layer",
        "positions": "learned",
        "n_kv_head": None,
        "bias": True,
        "tied": True,
    },
    SEQ2SEQ: {"positions": "learned", "n_kv_head": None},
    DECODER: {},
}


@dataclass(frozen=True)
class Family:
    """What a configuration trains.

    name          of the objective, of OBJECTIVES; with the architecture settled ("masked" by an
                  encoder-decoder: bert-style)
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
        """What a loss is a mean over: the tokens of a text, the few targets that an objective asks
        for, or whole rows.
        """
        if self.shifted:
            return "tokens"
        if self.name in (*PAIRED, "replaced", "contrastive"):
            return "rows"
        return "targets"

    @property
    def pairs(self):
        """Rows are pairs of translations."""
        return self.name == "translation"


def known_objective(name):
    """A check of a setting: the name of an objective."""
    if name in OBJECTIVES:
        return None
    near = difflib.get_close_matches(name, OBJECTIVES, n=3, cutoff=0.4)
    return "must be a name that `tinylm corrupt --list` shows" + (
        f", such as {' or '.join(near)}" if near else ""
    )


def choices(name):
    """The architectures that `tinylm train` can give to an objective, the usual one first."""
    return CHOICES.get(name) or ((SEQ2SEQ,) if name in SPOKEN else OBJECTIVES[name].trains[:1])


def family_of(config, words):
    """The Family of a TrainConfig for a tokenizer of `words` ids."""
    architecture = config.architecture or choices(config.objective)[0]
    if architecture == SEQ2SEQ:
        name = AS_SEQ2SEQ.get(config.objective, config.objective)
    else:
        name = config.objective
    if name in PLAIN and architecture == DECODER:
        return Family(name, architecture, Special(words))
    # At most half of a row is masked, in spans of 3 tokens on average (UL2); one mark more closes
    # the target.
    sentinels = config.context // 6 + 4 if name in ("sentinels", "ul2") else 0
    return Family(
        name, architecture, Special.after(words, sentinels, others=3 if name == "ul2" else 0)
    )


def check_family(config):
    """Raise ConfigError for settings that the objective's model does not have, or rows too short
    for it.
    """
    name, allowed = config.objective, choices(config.objective)
    architecture = config.architecture or allowed[0]
    if architecture not in allowed:
        raise ConfigError(
            f"objective {name} trains {' or '.join(allowed)} here, not {architecture}: leave --architecture away"
        )
    single = architecture == ENCODER or (name, architecture) == ("prefix", DECODER)
    for field, only in FIXED[ENCODER if single else architecture].items():
        if getattr(config, field) != only:
            raise ConfigError(
                f"objective {name}: its model has no choice of {field}: leave --{field.replace('_', '-')} away"
            )
    if config.norm_placement == "branch" and (single or architecture == SEQ2SEQ):
        raise ConfigError(f"objective {name}: its model has norm_placement pre or post, not branch")
    if name == "permuted" and config.activation in GATES:
        raise ConfigError(
            f"objective permuted: its model has no gated feed-forward: activation {config.activation} will not do"
        )
    least = 4 if name == "fim" else 1 if (name in SHIFTED and architecture == DECODER) else 2
    for field in ("context", "short_context"):
        if getattr(config, field) < least and (field == "context" or config.short_steps):
            raise ConfigError(
                f"objective {name}: rows of {getattr(config, field)} tokens are too short, {field} must be at "
                f"least {least}"
            )
    if name == "translation" and not config.data:
        raise ConfigError(
            "objective translation needs pairs: --data FILE with lines sentence<TAB>translation"
        )
    if name == "code-switching" and not config.dictionary:
        raise ConfigError(
            "objective code-switching needs --dictionary FILE with lines word<TAB>translation"
        )
    if config.dictionary and name != "code-switching":
        raise ConfigError(f"objective {name} has no use for a dictionary: leave --dictionary away")

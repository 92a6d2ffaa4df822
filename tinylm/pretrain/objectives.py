"""Every objective by name, in the five families of the book   (book section 1.2.4)

Each is made from the special ids of a vocabulary, and a few from something more: negatives are
drawn from a corpus, whole words need to know where words begin. Read next: language/causal.py, then
the file of the objective you look for.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.pretrain.denoising import noise
from tinylm.pretrain.denoising.sentinels import Sentinels
from tinylm.pretrain.denoising.seq2seq import Denoise, Fragment, Masked, Seq2SeqLM
from tinylm.pretrain.denoising.ul2 import ul2
from tinylm.pretrain.discriminative.contrastive import SentenceEmbedding
from tinylm.pretrain.discriminative.pairs import NextSentence, SentenceOrder, SentencePairs
from tinylm.pretrain.discriminative.replaced import ReplacedTokens
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.language.fim import FillInMiddle
from tinylm.pretrain.language.multi_token import MultiTokenLM
from tinylm.pretrain.language.prefix import PrefixLM, PrefixTask
from tinylm.pretrain.languages import CodeSwitched, TranslationLM
from tinylm.pretrain.masked.choose import WholeWords
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.masked.span_boundary import spanbert
from tinylm.pretrain.masked.spans import GeometricSpans

FAMILIES = "language modeling", "masked LM", "permuted LM", "discriminative training", "denoising"
LANGUAGE, MASKED, PERMUTED, DISCRIMINATIVE, DENOISING = FAMILIES
ENCODER, DECODER, SEQ2SEQ = "encoder", "decoder", "seq2seq"


@dataclass(frozen=True)
class Kind:
    """An objective before it knows its vocabulary.

    about    one line
    family   of FAMILIES
    trains   architectures, of encoder, decoder, seq2seq
    section  of the book, or the paper
    make     (special, **more) -> objective; `more` are the names in `needs`
    needs    corpus (N,) ids | starts (V,) bool | ends ids of sentence ends | dictionary (V, n) ids
    """

    about: str
    family: str
    trains: tuple
    section: str
    make: Callable
    needs: tuple = ()


def _seq2seq(task, end=True):
    return lambda special, **more: Seq2SeqLM(special, task(special, **more), end)


def _denoise(corruption):
    return _seq2seq(lambda special, **more: Denoise(corruption(special, **more)))


DENOISERS = {
    "token-masking": ("single tokens become [MASK]", lambda s: noise.TokenMasking(s.mask), ()),
    "token-deletion": ("single tokens are left out, unmarked", lambda s: noise.TokenDeletion(), ()),
    "text-infilling": (
        "spans of any length, also none, become one [MASK]",
        lambda s: noise.TextInfilling(s.mask),
        (),
    ),
    "sentence-permutation": (
        "sentences in random order",
        lambda s, ends: noise.SentencePermutation(tuple(ends)),
        ("ends",),
    ),
    "document-rotation": (
        "the text begins at a random token",
        lambda s: noise.DocumentRotation(),
        (),
    ),
    "token-permutation": ("tokens in random order", lambda s: noise.TokenPermutation(), ()),
    "token-replacement": (
        "random words in place of some",
        lambda s: noise.TokenReplacement(s.ordinary),
        (),
    ),
    "bart": ("one of BART's five corruptions, drawn for every text", noise.bart, ("ends",)),
}

OBJECTIVES = {
    "causal": Kind(
        "the next token from those before it",
        LANGUAGE,
        (DECODER, SEQ2SEQ),
        "1.2.1",
        lambda s: CausalLM(ignore=s.pad),
    ),
    "prefix": Kind(
        "a prefix is read at once, the rest is predicted token by token",
        LANGUAGE,
        (DECODER, SEQ2SEQ),
        "1.2.3.1",
        lambda s: PrefixLM(),
    ),
    "prefix-seq2seq": Kind(
        "the encoder reads a prefix, the decoder says the rest",
        LANGUAGE,
        (SEQ2SEQ,),
        "1.2.3.1",
        _seq2seq(lambda s: PrefixTask()),
    ),
    "fim": Kind(
        "the middle of a text after its end",
        LANGUAGE,
        (DECODER,),
        "Bavarian et al. 2022",
        lambda s: FillInMiddle(s),
    ),
    "multi-token": Kind(
        "the next four tokens at once",
        LANGUAGE,
        (DECODER,),
        "Gloeckle et al. 2024",
        lambda s: MultiTokenLM(4, s.pad),
    ),
    "masked": Kind(
        "hidden tokens from both sides",
        MASKED,
        (ENCODER, SEQ2SEQ),
        "1.2.2.1",
        lambda s: MaskedLM(s),
    ),
    "whole-word": Kind(
        "hidden words, all their pieces or none",
        MASKED,
        (ENCODER,),
        "Devlin et al. 2019",
        lambda s, starts: MaskedLM(s, choose=WholeWords(starts)),
        ("starts",),
    ),
    "spans": Kind(
        "hidden runs of tokens, of geometric length",
        MASKED,
        (ENCODER,),
        "1.2.3.1",
        lambda s: MaskedLM(s, choose=GeometricSpans()),
    ),
    "span-boundary": Kind(
        "hidden runs, also from the two tokens around them",
        MASKED,
        (ENCODER,),
        "Joshi et al. 2020",
        spanbert,
    ),
    "mass": Kind(
        "one hidden run, said by a decoder",
        MASKED,
        (ENCODER, SEQ2SEQ),
        "1.2.3.1",
        _seq2seq(Fragment, end=False),
    ),
    "bert-style": Kind(
        "hidden tokens, said by a decoder that predicts only them",
        MASKED,
        (ENCODER, SEQ2SEQ),
        "1.2.3.1",
        _seq2seq(Masked, end=False),
    ),
    "translation": Kind(
        "hidden tokens of a sentence and its translation",
        MASKED,
        (ENCODER,),
        "1.3.2.3",
        lambda s: TranslationLM(MaskedLM(s), languages=(0, 1)),
    ),
    "code-switching": Kind(
        "hidden tokens of a text in two languages",
        MASKED,
        (ENCODER,),
        "1.3.2.3",
        lambda s, dictionary: CodeSwitched(MaskedLM(s), dictionary),
        ("dictionary",),
    ),
    "permuted": Kind(
        "tokens in a random order, each from those before it in that order",
        PERMUTED,
        (ENCODER,),
        "1.2.2.2",
        lambda s: PermutedLM(s),
    ),
    "next-sentence": Kind(
        "does the second sentence follow the first?",
        DISCRIMINATIVE,
        (ENCODER,),
        "1.2.2.3",
        lambda s, corpus: SentencePairs(s, NextSentence(corpus)),
        ("corpus",),
    ),
    "sentence-order": Kind(
        "are two sentences in their order?",
        DISCRIMINATIVE,
        (ENCODER,),
        "Lan et al. 2020",
        lambda s: SentencePairs(s, SentenceOrder()),
    ),
    "bert": Kind(
        "masked LM and next sentence prediction together",
        MASKED,
        (ENCODER,),
        "1.3.1",
        lambda s, corpus: SentencePairs(s, NextSentence(corpus), MaskedLM(s)),
        ("corpus",),
    ),
    "replaced": Kind(
        "which tokens did a generator put in?",
        DISCRIMINATIVE,
        (ENCODER,),
        "1.2.2.3",
        lambda s: ReplacedTokens(s),
    ),
    "contrastive": Kind(
        "two readings of a sentence find each other",
        DISCRIMINATIVE,
        (ENCODER,),
        "Gao et al. 2021",
        lambda s: SentenceEmbedding(s),
    ),
    **{
        name: Kind(about, DENOISING, (SEQ2SEQ,), "1.2.3.2", _denoise(make), needs)
        for name, (about, make, needs) in DENOISERS.items()
    },
    "sentinels": Kind(
        "each hidden run becomes a mark, the target says what the marks stand for",
        DENOISING,
        (SEQ2SEQ,),
        "1.2.3.1",
        _seq2seq(Sentinels),
    ),
    "ul2": Kind(
        "short spans, long spans or a prefix, announced by a mode token",
        DENOISING,
        (SEQ2SEQ,),
        "Tay et al. 2022",
        _seq2seq(ul2),
    ),
}


def objective(name, special, **more):
    """The objective of a name for a vocabulary.

    special  Special
    more     corpus, starts, ends, dictionary; those that it does not need are left aside
    raises   ConfigError naming the near names, or what is needed
    """
    if name not in OBJECTIVES:
        near = difflib.get_close_matches(name, OBJECTIVES, n=3, cutoff=0.4)
        raise ConfigError(
            f"no objective {name!r}: "
            + (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"there are {', '.join(OBJECTIVES)}"
            )
        )
    kind = OBJECTIVES[name]
    missing = [need for need in kind.needs if more.get(need) is None]
    if missing:
        raise ConfigError(
            f"objective {name}: needs {', '.join(missing)}: {'; '.join(NEEDS[need] for need in missing)}"
        )
    return kind.make(special, **{need: np.asarray(more[need]) for need in kind.needs})


NEEDS = {
    "corpus": "the ids of a text, to draw sentences from",
    "starts": "for every id, whether it begins a word",
    "ends": "the ids that end a sentence",
    "dictionary": "for every id, its translations",
}

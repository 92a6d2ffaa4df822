"""Every objective by name: its Recipe holds all that training, scoring and showing it needs.

Book section 1.2.4 sorts pretraining tasks into five families; TASK_FAMILIES are those. An objective
is made from the special ids of a vocabulary, and a few from more: negatives are drawn from a
corpus, whole words need to know where words begin. Code that treats objectives differently reads a
field of the Recipe and never compares names, so a new objective is one more row. Read next:
language/causal.py, then the file of the objective you look for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from tinylm.pretrain.language.prefix import PrefixLM, PrefixTask, prefix_split
from tinylm.pretrain.languages import CodeSwitched, TranslationLM
from tinylm.pretrain.masked.choose import WholeWords
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.masked.span_boundary import spanbert
from tinylm.pretrain.masked.spans import GeometricSpans
from tinylm.pretrain.special import Special
from tinylm.pretrain.synonyms import canonical, near_names

TASK_FAMILIES = (
    "language modeling",
    "masked LM",
    "permuted LM",
    "discriminative training",
    "denoising",
)
LANGUAGE, MASKED, PERMUTED, DISCRIMINATIVE, DENOISING = TASK_FAMILIES
ENCODER, DECODER, SEQ2SEQ = "encoder", "decoder", "seq2seq"
AHEAD = 4  # tokens that multi-token predicts at once (Gloeckle et al. 2024 find 4 best)


@dataclass(frozen=True)
class Recipe:
    """One objective: how it is made, and what its vocabulary, rows, model and scores look like.

    name, about  as `tinylm corrupt --list` prints them
    family       of TASK_FAMILIES
    section      of the book, or the paper
    trains       the architectures of Table 1.1: encoder, decoder, seq2seq
    make         (special, **more) -> objective; `more` are the names in `needs`
    needs        corpus (N,) ids | starts (V,) bool | ends ids of sentence ends | dictionary (V, n)
                 ids

    model        which model `tinylm train` builds, a key of BUILDERS in tinylm.train.run.build
    seq2seq      Recipe that takes its place for `--architecture seq2seq`; None: there is none
    marks        [CLS] and [SEP] that are added to a row, for which an encoder needs positions
    paired       True if rows are two parts: two segments, a pooler and two classes
    token_head   True if tokens are predicted; False: pairs or whole rows only
    dropout      used where the configuration has none

    own_ids      True if the vocabulary needs special ids ([CLS], [MASK], </s>, ...)
    sentinels    True if spans are numbered: one id for each that a row may have
    modes        ids that announce a task, beside those

    shifted      True if x_0 .. x_{T-1} are read and x_1 .. x_T predicted: rows of T + 1 tokens
    pairs        True if the text is pairs of translations, one a line
    least        tokens that a row must have

    counted      what a loss is a mean of: tokens of a text, the targets chosen in it, or rows
    whole_text   True if every token is predicted once, from those before it: then the loss is the
                 text's, and gives perplexity and bits per byte
    example      how `tinylm train` shows what was learnt, a key of EXAMPLES in
                 tinylm.cli.learn.showcase; None: not at all
    generates    True if `tinylm generate` can continue a text with the model
    fills        how `tinylm fill` predicts hidden tokens, a key of WAYS in
                 tinylm.prompt.protocol.filler; None: not at all
    writes       what an encoder-decoder writes for `tinylm generate`: "text", made of the text that
                 it reads; "rest", what follows that text; "all", the text from its beginning on;
                 None: nothing by itself
    """

    name: str
    about: str
    family: str
    section: str
    trains: tuple
    make: Callable
    needs: tuple = ()

    model: str = "encoder"
    seq2seq: "Recipe | None" = None
    marks: int = 1
    paired: bool = False
    token_head: bool = True
    dropout: float = 0.0

    own_ids: bool = True
    sentinels: bool = False
    modes: int = 0

    shifted: bool = False
    pairs: bool = False
    least: int = 2

    counted: str = "targets"
    whole_text: bool = False
    example: str | None = "filled"
    generates: bool = False
    fills: str | None = None
    writes: str | None = None

    @property
    def architecture(self) -> str:
        """What `tinylm train` trains, of `trains`."""
        if self.model == SEQ2SEQ:
            return SEQ2SEQ
        return self.trains[0]

    @property
    def architectures(self) -> tuple[str, ...]:
        """What `--architecture` can be, the default first."""
        if self.seq2seq is None:
            return (self.architecture,)
        return self.architecture, SEQ2SEQ

    def of(self, architecture: str | None) -> "Recipe":
        """The Recipe for one of `architectures`; None is the first."""
        if architecture == SEQ2SEQ and self.seq2seq is not None:
            return self.seq2seq
        return self

    def special(self, words: int, context: int) -> Special:
        """The Special of a vocabulary of `words` ids: the special ids follow the last word, so that
        the tokenizer stays as it is.

        context  the longest row, in tokens
        """
        if not self.own_ids:
            return Special(words)
        spans = 0
        if self.sentinels:
            # At most half of a row is masked (UL2), in spans of 3 tokens on average: context / 6
            # spans. One sentinel more closes the target, and three are to spare.
            spans = context // 6 + 4
        return Special.after(words, spans, others=self.modes)

    def build(self, special: Special, **more: Any) -> Any:
        """The objective for a vocabulary: make_batch(sequences, rng), loss(model, batch).

        special  Special
        more     corpus, starts, ends, dictionary; those that are not in `needs` are ignored
        raises   ConfigError naming what is missing, or what the vocabulary lacks
        """
        missing = [need for need in self.needs if more.get(need) is None]
        if missing:
            wanted = "; ".join(NEEDS[need] for need in missing)
            raise ConfigError(f"objective {self.name}: needs {', '.join(missing)}: {wanted}")
        return self.make(special, **{need: np.asarray(more[need]) for need in self.needs})


NEEDS = {
    "corpus": "the ids of a text, to draw sentences from",
    "starts": "for every id, whether it begins a word",
    "ends": "the ids that end a sentence",
    "dictionary": "for every id, its translations",
}


def _seq2seq(task, end=True):
    """`make` of an encoder-decoder's objective, from task(special, **more)."""
    return lambda special, **more: Seq2SeqLM(special, task(special, **more), end)


def _decoder_alone(ids, draws):
    """The task that leaves the source empty (but for [CLS]): the target is the whole row."""
    return prefix_split(ids, 0)


def _sentence_permutation(special, ends):
    if not len(ends):
        raise ConfigError(
            "objective sentence-permutation: no token of the vocabulary ends in . ! or ?, so there "
            "are no sentences: use another tokenizer or objective"
        )
    return noise.SentencePermutation(tuple(ends))


# Fields that several rows share. A decoder predicts every token of its rows; an encoder-decoder
# reads a corrupted row and writes what is missing; classifiers of rows predict no tokens.
NEXT_TOKEN = dict(
    model="gpt", shifted=True, least=1, counted="tokens", example="sample", generates=True
)
REWRITE = dict(model=SEQ2SEQ, example="mended", writes="text")
HIDDEN = dict(model=SEQ2SEQ, example="mended", fills="hidden")  # hidden tokens and nothing else
TWO_PARTS = dict(paired=True, marks=3, counted="rows")
NO_TOKENS = dict(token_head=False, example=None)


def _denoiser(name, about, corruption, needs=(), fills=None):
    """The row of a corruption that an encoder-decoder undoes   (book section 1.2.3.2)."""
    make = _seq2seq(lambda special, **more: Denoise(corruption(special, **more)))
    fields = REWRITE | dict(fills=fills)
    return Recipe(name, about, DENOISING, "1.2.3.2", (SEQ2SEQ,), make, needs, **fields)


# fmt: off
# A row: name and description; family, section, architectures of Table 1.1; maker and needs; fields.
# These three stand apart: other rows turn into them when an encoder-decoder is trained.
CAUSAL_SEQ2SEQ = Recipe(
    "causal", "predict each token from those before it",
    LANGUAGE, "1.2.1", (SEQ2SEQ,),
    _seq2seq(lambda s: _decoder_alone), **REWRITE | dict(writes="all"))
PREFIX_SEQ2SEQ = Recipe(
    "prefix-seq2seq", "an encoder reads a prefix, a decoder predicts the rest",
    LANGUAGE, "1.2.3.1", (SEQ2SEQ,),
    _seq2seq(lambda s: PrefixTask()), **REWRITE | dict(writes="rest"))
BERT_STYLE = Recipe(
    "bert-style", "a decoder predicts the masked tokens and nothing else",
    MASKED, "1.2.3.1", (ENCODER, SEQ2SEQ),
    _seq2seq(Masked, end=False), **HIDDEN)

ROWS = (
    Recipe("causal", "predict each token from those before it",
           LANGUAGE, "1.2.1", (DECODER, SEQ2SEQ),
           lambda s: CausalLM(ignore=s.pad),
           **NEXT_TOKEN, seq2seq=CAUSAL_SEQ2SEQ, own_ids=False, whole_text=True),
    # One stack under a mask of its own: an Encoder, since the prefix is read in both directions.
    Recipe("prefix", "read a prefix in both directions, predict the rest token by token",
           LANGUAGE, "1.2.3.1", (DECODER, SEQ2SEQ),
           lambda s: PrefixLM(),
           **NEXT_TOKEN | dict(model="encoder", example="continued", generates=False),
           seq2seq=PREFIX_SEQ2SEQ, own_ids=False, marks=0),
    PREFIX_SEQ2SEQ,
    Recipe("fim", "predict the middle of a text from its beginning and its end",
           LANGUAGE, "Bavarian et al. 2022", (DECODER,),
           lambda s: FillInMiddle(s),
           **NEXT_TOKEN | dict(least=4, example="middle", fills="middle")),
    Recipe("multi-token", "predict the next four tokens at every position",
           LANGUAGE, "Gloeckle et al. 2024", (DECODER,),
           lambda s: MultiTokenLM(AHEAD, s.pad),
           **NEXT_TOKEN | dict(model="multi_token"), own_ids=False),

    Recipe("masked", "predict masked tokens from both sides",
           MASKED, "1.2.2.1", (ENCODER, SEQ2SEQ),
           lambda s: MaskedLM(s),
           seq2seq=BERT_STYLE, fills="masks"),
    Recipe("whole-word", "masked LM that masks all pieces of a word together",
           MASKED, "Devlin et al. 2019", (ENCODER,),
           lambda s, starts: MaskedLM(s, choose=WholeWords(starts)), ("starts",),
           fills="masks"),
    Recipe("spans", "masked LM on runs of tokens of geometric length",
           MASKED, "1.2.3.1", (ENCODER,),
           lambda s: MaskedLM(s, choose=GeometricSpans()),
           fills="masks"),
    Recipe("span-boundary", "masked LM on runs, predicted also from the two tokens beside each run",
           MASKED, "Joshi et al. 2020", (ENCODER,),
           spanbert,
           model="span_boundary", fills="masks"),
    # Table 1.1 trains an encoder with these two as well; here a decoder predicts what is masked.
    Recipe("mass", "a decoder predicts one masked run of tokens",
           MASKED, "1.2.3.1", (ENCODER, SEQ2SEQ),
           _seq2seq(Fragment, end=False),
           **HIDDEN),
    BERT_STYLE,
    Recipe("translation", "masked LM on a sentence and its translation in one row",
           MASKED, "1.3.2.3", (ENCODER,),
           lambda s: TranslationLM(MaskedLM(s), languages=(0, 1)),
           pairs=True, marks=3, fills="masks"),
    Recipe("code-switching", "masked LM on a text with some words translated",
           MASKED, "1.3.2.3", (ENCODER,),
           lambda s, dictionary: CodeSwitched(MaskedLM(s), dictionary), ("dictionary",),
           fills="masks"),

    Recipe("permuted", "predict tokens in a random order, each from those before it in that order",
           PERMUTED, "1.2.2.2", (ENCODER,),
           lambda s: PermutedLM(s),
           model="xlnet", fills="masks"),

    Recipe("next-sentence", "classify whether the second sentence follows the first",
           DISCRIMINATIVE, "1.2.2.3", (ENCODER,),
           lambda s, corpus: SentencePairs(s, NextSentence(corpus)), ("corpus",),
           **TWO_PARTS, **NO_TOKENS),
    Recipe("sentence-order", "classify whether two sentences are in their original order",
           DISCRIMINATIVE, "Lan et al. 2020", (ENCODER,),
           lambda s: SentencePairs(s, SentenceOrder()),
           **TWO_PARTS, **NO_TOKENS),
    Recipe("bert", "masked LM and next sentence prediction together",
           MASKED, "1.3.1", (ENCODER,),
           lambda s, corpus: SentencePairs(s, NextSentence(corpus), MaskedLM(s)), ("corpus",),
           **TWO_PARTS, fills="masks"),
    Recipe("replaced", "classify which tokens a small generator has replaced",
           DISCRIMINATIVE, "1.2.2.3", (ENCODER,),
           lambda s: ReplacedTokens(s),
           model="electra", counted="rows", fills="masks"),
    # The two readings of a sentence differ by dropout alone; 0.1 is Gao et al.'s.
    Recipe("contrastive", "match two encodings of a sentence that differ by dropout",
           DISCRIMINATIVE, "Gao et al. 2021", (ENCODER,),
           lambda s: SentenceEmbedding(s),
           **NO_TOKENS, counted="rows", dropout=0.1),

    _denoiser("token-masking", "restore a text in which single tokens are [MASK]",
              lambda s: noise.TokenMasking(s.mask), fills="copied"),
    _denoiser("token-deletion", "restore a text from which single tokens are deleted",
              lambda s: noise.TokenDeletion()),
    _denoiser("text-infilling", "restore spans of any length, even 0, each shown as one [MASK]",
              lambda s: noise.TextInfilling(s.mask), fills="rewritten"),
    _denoiser("sentence-permutation", "restore the order of shuffled sentences",
              _sentence_permutation, ("ends",)),
    _denoiser("document-rotation", "restore a text that was rotated to begin at a random token",
              lambda s: noise.DocumentRotation()),
    _denoiser("token-permutation", "restore the order of shuffled tokens",
              lambda s: noise.TokenPermutation()),
    _denoiser("token-replacement", "restore a text in which some tokens are random",
              lambda s: noise.TokenReplacement(s.ordinary)),
    _denoiser("bart", "restore a text after one of BART's five corruptions, drawn for each row",
              noise.bart, ("ends",), fills="rewritten"),
    Recipe("sentinels", "write each masked span after the sentinel that stands for it",
           DENOISING, "1.2.3.1", (SEQ2SEQ,),
           _seq2seq(Sentinels),
           **REWRITE, sentinels=True, fills="spans"),
    Recipe("ul2", "a mixture of short spans, long spans and prefixes, named by a mode token",
           DENOISING, "Tay et al. 2022", (SEQ2SEQ,),
           _seq2seq(ul2),
           **REWRITE, sentinels=True, modes=3, fills="spans"),
)
# fmt: on
OBJECTIVES = {recipe.name: recipe for recipe in ROWS}


def objective(name: str, special: Special, **more: Any) -> Any:
    """The objective of a name for a vocabulary.

    name     in OBJECTIVES, or a synonym
    special  Special
    more     corpus, starts, ends, dictionary; those that it does not need are ignored
    raises   ConfigError naming the near names, or what is needed
    """
    if canonical(name) in OBJECTIVES:
        return OBJECTIVES[canonical(name)].build(special, **more)
    hint = f"there are {', '.join(OBJECTIVES)}"
    if near := near_names(name, OBJECTIVES):
        hint = f"did you mean {' or '.join(near)}?"
    raise ConfigError(f"no objective {name!r}: {hint}")

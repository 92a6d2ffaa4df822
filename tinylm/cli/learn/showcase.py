"""How `tinylm train` ends: what the model has learnt to do, shown on the validation text.

A decoder continues a text, an encoder predicts hidden tokens, an encoder-decoder restores a
corrupted text. The share of right answers stands beside that of always giving the commonest answer.
Which example belongs to an objective is `example` of its Recipe, a key of EXAMPLES below. Read
next: train/accuracy.py.
"""

import itertools
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.batches.prepare import END_OF_TEXT

if TYPE_CHECKING:
    from tinylm.nn.module import Module
    from tinylm.pretrain.special import Special


SAMPLE = 200  # tokens of a sample
EXCERPT = 400  # tokens of the text that are searched for a prompt
GUESSES = 3  # best guesses shown for a hidden token
HIDDEN = 4  # tokens hidden in an example
SCORED = 20  # batches of which the share of right answers is taken
COUNTED = 1_000_000  # characters of a text whose n-grams are counted: two seconds
END = "\uffff"  # for the end of a document, which is one token: a code point that no text has


def closing(run: Any, summary: dict[str, Any]) -> str:
    """The text that is printed after training.

    run      Run
    summary  of train_run
    returns  examples, the share of right answers, and commands to continue with: one str
    """
    from tinylm.autograd import no_grad
    from tinylm.train import load_run

    # Training may have happened in other processes: the trained model is in the last checkpoint.
    model, _, _ = load_run(summary["run"])
    recipe, where = run.config.recipe, shlex.quote(summary["run"])
    parts = []
    if recipe.example:
        with no_grad():
            parts.append(EXAMPLES[recipe.example](run, model))
    if not recipe.whole_text:  # there perplexity and bits per byte are printed before
        parts.append(shares(run, model))
    elif run.config.ngrams:
        parts.append(bar(run, summary))
    lines = []
    for part in filter(None, parts):
        lines += ["", *part]
    lines += ["", "To try next:"]
    if recipe.generates:
        lines.append(f"  tinylm generate {where} {shlex.quote(some_words(run))}")
    if recipe.fills:
        lines.append(f"  tinylm fill {where} {shlex.quote(some_words(run, hidden=True))}")
    elif recipe.writes:
        lines.append(f"  tinylm generate {where} {shlex.quote(some_words(run))}")
    lines += [
        f"  tinylm explore {where} --out page.html",
        "  tinylm book attention",
        f"  tinylm eval {where}",
        f"  tinylm plot {where}",
        f"  tinylm train --resume {where} --steps {2 * summary['step']}",
    ]
    return "\n".join(lines)


def bar(run: Any, summary: dict[str, Any]) -> list[str]:
    """What counting reaches on the same texts, as a line; none without a validation text."""
    from tinylm.models.early.ngram import best_by_counting

    if run.validation is None:
        return []
    texts, limited = [], ""
    for file in (run.data.train, run.data.val):
        text = run.tokenizer.decode(np.asarray(file.tokens[:COUNTED]).tolist())
        if run.data.meta["end_of_text"] is not None:
            text = text.replace(END_OF_TEXT, END)
        if max(len(file.tokens), len(text)) > COUNTED:
            limited = f"; of each part the first {COUNTED:,} characters"
        texts.append(text[:COUNTED])
    bits, order = best_by_counting(*texts, mark=END)
    return [
        f"The bar to beat: {bits:.3f} bits per byte by counting (Kneser-Ney {order}-grams of "
        f"characters, the best of orders 3 to 9{limited}); this run: {summary['bits_per_byte']:.3f}"
    ]


def sample(run: Any, model: "Module") -> list[str]:
    """Lines with a text that the model generates after a prompt."""
    from tinylm.generate import generate_text
    from tinylm.train.run.build import decoder_of

    prompt, decoder = some_words(run), decoder_of(model, run.config, run.tokenizer.vocab_size)
    text = generate_text(
        decoder, run.tokenizer, prompt, SAMPLE, seed=run.config.seed, temperature=0.8, notice=None
    )
    return [f"A sample, {SAMPLE} tokens after {prompt!r}, temperature 0.8:", "", prompt + text]


def some_words(run: Any, hidden: bool = False) -> str:
    """A prompt whose characters the tokenizer has: the first few words of the text.

    hidden   the last of them is hidden by [MASK]
    """
    words = _first_words(run)
    if not hidden:
        return words
    before, space, _ = words.rpartition(" ")
    return (before + space or words) + "[MASK]"


def _first_words(run):
    ids = np.asarray(_shown_text(run)[:EXCERPT])
    text = run.tokenizer.decode(ids[ids < run.tokenizer.vocab_size])  # without [SEP] of pairs
    for first in ("[A-Z]", "[A-Za-z]"):  # the beginning of a sentence, if there is one
        # A byte-level token may end inside a character, which decodes to U+FFFD: no such words.
        if found := re.search(rf"(?<=\s){first}[^\s\ufffd]*( [^\s\ufffd]+){{1,2}}", text):
            return found[0]
    return text.strip("\ufffd")[:8]


def excerpt(run: Any, tokens: int) -> np.ndarray:
    """`tokens` ids of the text, from the beginning of a word on: (tokens,) int64."""
    ids = np.asarray(_shown_text(run)[: EXCERPT + tokens], np.int64)
    for first in range(1, len(ids) - tokens):
        if run.tokenizer.token_bytes(int(ids[first]))[:1].isspace():
            return ids[first : first + tokens]
    return ids[:tokens]


def _shown_text(run):
    """The ids of the validation text, or of the training text where there is none."""
    if len(run.data.val):
        return run.data.val.tokens
    return run.data.train.tokens


def written(ids: ArrayLike | Iterator, run: Any, special: "Special") -> str:
    """Ids as text on one line, special ones by their names."""
    words, text = run.tokenizer.vocab_size, ""
    for is_special, group in itertools.groupby(map(int, ids), lambda i: i >= words):
        if is_special:
            text += f" {' '.join(special.name(i) for i in group)} "
        else:
            text += run.tokenizer.decode(list(group))
    return " ".join(text.split())


def guessed(place: int, logits: np.ndarray, right: int, run: Any) -> str:
    """A line: a place, the token that stood there, and the best guesses with their probabilities.

    logits   (V,)
    right    its id
    """
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()  # softmax, shifted by the largest logit
    best = np.argsort(-p, kind="stable")[:GUESSES]
    guesses = ", ".join(f"{_quoted(i, run)} {100 * p[i]:.0f} %" for i in best)
    return f"  {place:>3}  {_quoted(right, run):<14} {guesses}"


def _quoted(i, run):
    """A token in quotes, a special one by its name."""
    if i >= run.tokenizer.vocab_size:
        return run.special.name(int(i))
    return repr(run.tokenizer.decode([int(i)]))


def filled(run: Any, model: "Module") -> list[str]:
    """An encoder's best guesses for hidden tokens."""
    from tinylm.generate.fill import hidden_logits

    special = run.special
    ids, options = _encoder_input(run)
    # HIDDEN places, evenly spread over the words; the first and the last stay visible.
    words = np.flatnonzero(~special.among(ids))
    spread = np.linspace(0, len(words) - 1, HIDDEN + 2).astype(int)[1:-1]
    places = np.unique(words[spread])
    hidden = ids.copy()
    hidden[places] = special.mask
    guesser = "model"
    if hasattr(model, "generator"):  # of ELECTRA the generator predicts tokens
        guesser = "generator"
    logits = hidden_logits(model, hidden, places, **options)  # (n, V)
    lines = [
        f"Hidden tokens, each with the {guesser}'s best guesses:",
        "",
        f"  {written(hidden, run, special)}",
        "",
    ]
    for i, (place, row) in enumerate(zip(places, logits), 1):
        lines.append(guessed(i, row, ids[place], run))
    return lines


def _encoder_input(run):
    """(ids of one row with its marks, what else the model is given)."""
    from tinylm.pretrain.languages import pack_bilingual

    if not run.config.recipe.pairs:
        row = excerpt(run, min(run.config.context, 32))
        return np.concatenate([[run.special.cls], row]), {}
    if run.validation is None:
        pair = run.rows.batch(0, 0, 1)[0]
    else:
        pair = next(run.validation.batches(1))[0]
    ids, languages, _ = pack_bilingual(run.special, *pair)
    return ids, {"languages": languages[None]}


def mended(run: Any, model: "Module") -> list[str]:
    """A corrupted row, and the target that an encoder-decoder writes for it."""
    from tinylm.backend import Random
    from tinylm.generate import generate
    from tinylm.generate.protocol.conditional import Conditional
    from tinylm.pretrain.batch import IGNORE

    special, row = run.special, excerpt(run, min(run.config.context, 32))
    batch = run.objective.make_batch(row[None], Random(run.config.seed, "closing"))
    source, target = batch.inputs[0], batch.targets[0]
    lines = [
        "A text, what the encoder reads, and what the decoder writes:",
        "",
        f"  text    {written(row, run, special)}",
        f"  reads   {written(source, run, special)}",
    ]
    if (target == IGNORE).any():  # only hidden places are predicted: nothing to generate freely
        places = np.flatnonzero(target != IGNORE)[: 2 * HIDDEN]
        logits = model(batch.inputs, batch.decoder, source_mask=batch.mask).numpy()[0]  # (T, V)
        guesses = [guessed(p + 1, logits[p], target[p], run) for p in places]
        return [*lines, "", *guesses]
    written_by_model = generate(
        Conditional(model, source),
        [special.start],
        2 * len(target),
        eos=special.end,
        temperature=0.0,
        notice=None,
    )
    return [*lines, f"  writes  {written(written_by_model, run, special)}"]


def middle(run: Any, model: "Module") -> list[str]:
    """The middle that a decoder writes between a beginning and an end."""
    from tinylm.generate import generate

    special, context = run.special, run.config.context
    row = excerpt(run, max(3, min(context - 4, 48)))  # four special ids stand beside it
    first, second = len(row) // 3, len(row) // 2
    prompt = [special.prefix, *row[:first], special.suffix, *row[second:], special.middle]
    room = max(1, context - len(prompt))
    filling = generate(model, prompt, room, eos=special.end, temperature=0.0, notice=None)
    before = written(row[:first], run, special)
    after = written(row[second:], run, special)
    return [
        "A text whose middle is left out, the middle that the model writes, and the author's:",
        "",
        f"  {before} [...] {after}",
        f"  model   {written(filling, run, special)}",
        f"  author  {written(row[first:second], run, special)}",
    ]


def continued(run: Any, model: "Module") -> list[str]:
    """A prefix that is read at once, and its most probable continuation, token by token."""
    from tinylm.generate.sample import greedy
    from tinylm.pretrain.language.prefix import prefix_mask

    ids = list(excerpt(run, max(1, run.config.context // 2)))
    k = len(ids)
    while len(ids) < run.config.context:
        # Among the first k all see all; later tokens see those before them.
        h = model.hidden(np.array(ids)[None], mask=prefix_mask(len(ids), k)[None])  # (1, T, D)
        ids += greedy(model.logits(h[:, -1:]).numpy()[0]).tolist()
    prefix, continuation = (
        " ".join(run.tokenizer.decode(part).split()) for part in (ids[:k], ids[k:])
    )
    return [
        "A prefix, and the model's continuation, the most probable token each time:",
        "",
        f"  {prefix}",
        f"  -> {continuation}",
    ]


EXAMPLES = {
    "sample": sample,
    "continued": continued,
    "middle": middle,
    "filled": filled,
    "mended": mended,
}


def shares(run: Any, model: "Module") -> list[str]:
    """The share of right answers on the validation text, as lines; none without such a text."""
    from tinylm.train.accuracy import token_accuracy

    if run.validation is None:
        return []
    share, count, commonest = token_accuracy(
        model, run.objective, run.validation, run.config.batch_size, SCORED
    )
    if share is None:
        return []
    return in_words(share, count, commonest)


def in_words(share: float, count: int, commonest: float) -> list[str]:
    """What token_accuracy() returns, as lines."""
    lines = [
        f"Right answers on the validation text: {share:.1%} of {count:,} "
        f"(always the commonest one: {commonest:.1%})"
    ]
    if share < 1.1 * commonest:  # less than a tenth better
        lines.append(
            "This is hardly better than guessing yet: a step with a few targets a row teaches less "
            "than one that predicts every next token. Try more --steps and a larger --batch-size, "
            "such as 64."
        )
    return lines

"""How `tinylm train` ends: what the model has learnt to do, shown on the validation text.

A decoder goes on with a text, an encoder tells hidden tokens, an encoder-decoder mends a corrupted
text; and the share of right answers is set against the share that guessing the commonest would
give. Read next: train/accuracy.py.
"""

import itertools
import re
import shlex

import numpy as np

SAMPLE = 200  # tokens of a sample
EXCERPT = 400  # tokens of the text that are searched for a prompt
GUESSES = 3  # best guesses shown for a hidden token
HIDDEN = 4  # tokens hidden in an example
SCORED = 20  # batches of which the share of right answers is taken


def closing(run, summary):
    """Examples, the share of right answers, and the commands that go on with the run: one str."""
    from tinylm.train import load_run

    model, tokenizer, config = load_run(summary["run"])
    family, where = run.family, shlex.quote(summary["run"])
    generates = family.shifted and family.name != "prefix"
    lines = []
    for part in (example(run, model, family), [] if family.causal else shares(run, model)):
        lines += ["", *part] if part else []
    lines += ["", "Go on with"]
    if generates:
        lines.append(f"  tinylm generate {where} {shlex.quote(some_words(run))}")
    lines += [
        f"  tinylm eval {where}",
        f"  tinylm plot {where}",
        f"  tinylm train --resume {where} --steps {2 * summary['step']}",
    ]
    return "\n".join(lines)


def example(run, model, family):
    """Lines that show the model at its work; none for pairs of sentences, where the share of right
    answers says it all.
    """
    from tinylm.autograd import no_grad

    with no_grad():
        if family.architecture == "seq2seq":
            return mended(run, model, family)
        if family.name == "fim":
            return middle(run, model, family)
        if family.name == "prefix":
            return continued(run, model)
        if family.shifted:
            return sample(run, model)
        if family.name in ("next-sentence", "sentence-order", "contrastive"):
            return []
        return filled(run, model, family)


def sample(run, model):
    """Text after a prompt."""
    from tinylm.generate import generate_text
    from tinylm.train.run.build import decoder_of

    prompt, decoder = some_words(run), decoder_of(model, run.config, run.tokenizer.vocab_size)
    text = generate_text(
        decoder, run.tokenizer, prompt, SAMPLE, seed=run.config.seed, temperature=0.8, notice=None
    )
    return [f"A sample, {SAMPLE} tokens after {prompt!r}, temperature 0.8:", "", prompt + text]


def some_words(run):
    """A prompt that the tokenizer surely knows: the first few words of the validation text, or of
    the text.
    """
    side = run.data.val if len(run.data.val) else run.data.train
    text = run.tokenizer.decode(side.tokens[:EXCERPT])
    for first in ("[A-Z]", "[A-Za-z]"):  # the beginning of a sentence, if there is one
        if found := re.search(rf"(?<=\s){first}[^\s\ufffd]*( [^\s\ufffd]+){{1,2}}", text):
            return found[0]
    return text.strip("\ufffd")[:8]


def excerpt(run, tokens):
    """`tokens` ids of the validation text, or of the text, from the beginning of a word on."""
    side = run.data.val if len(run.data.val) else run.data.train
    ids = np.asarray(side.tokens[: EXCERPT + tokens], np.int64)
    starts = [
        i
        for i in range(1, len(ids) - tokens)
        if run.tokenizer.token_bytes(int(ids[i]))[:1].isspace()
    ]
    first = starts[0] if starts else 0
    return ids[first : first + tokens]


def written(ids, run, special):
    """Ids as text on one line, special ones by their names."""
    words, parts = run.tokenizer.vocab_size, []
    for marks, group in itertools.groupby(map(int, ids), lambda i: i >= words):
        same = list(group)
        parts.append(
            " " + " ".join(special.name(i) for i in same) + " "
            if marks
            else run.tokenizer.decode(same)
        )
    return " ".join("".join(parts).split())


def guessed(place, logits, right, run, special):
    """A line: the best guesses for a place and their probabilities, and what stood there."""
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    best = np.argsort(-p, kind="stable")[:GUESSES]
    names = [
        (
            special.name(int(i))
            if i >= run.tokenizer.vocab_size
            else repr(run.tokenizer.decode([int(i)]))
        )
        for i in best
    ]
    return f"  {place:>3}  {repr(run.tokenizer.decode([int(right)])):<14} " + ", ".join(
        f"{name} {100 * p[i]:.0f} %" for name, i in zip(names, best)
    )


def filled(run, model, family):
    """What an encoder takes hidden tokens for."""
    from tinylm.pretrain.languages import pack_bilingual

    special, options = family.special, {}
    if family.pairs:
        train, validation = run.windows()
        pair = (train.batch(0, 0, 1) if validation is None else next(validation.batches(1)))[0]
        ids, languages, _ = pack_bilingual(special, *pair)
        options = {"languages": languages[None]}
    else:
        ids = np.concatenate([[special.cls], excerpt(run, min(run.config.context, 32))])
    words = np.flatnonzero(~special.among(ids))
    places = np.unique(words[np.linspace(0, len(words) - 1, HIDDEN + 2).astype(int)[1:-1]])
    hidden = ids.copy()
    hidden[places] = special.mask
    logits = _logits(model, family, ids, hidden, places, options)
    who = "generator" if family.name == "replaced" else "model"
    return [
        f"Hidden tokens, each with the {who}'s best guesses:",
        "",
        f"  {written(hidden, run, special)}",
        "",
        *(
            guessed(i + 1, row, ids[place], run, special)
            for i, (place, row) in enumerate(zip(places, logits))
        ),
    ]


def _logits(model, family, ids, hidden, places, options):
    """(n, V): what a model says at the hidden places. XLNet reads no mask: the places come last in
    its order.
    """
    if family.name == "permuted":
        others = np.setdiff1d(np.arange(len(ids)), places)
        orders = [np.concatenate([others, [p], places[places != p]]) for p in places]
        return np.stack(
            [model(ids[None], order=order[None]).numpy()[0, p] for order, p in zip(orders, places)]
        )
    reader = getattr(model, "generator", model)
    return reader.logits(reader.hidden(hidden[None], **options)[:, places]).numpy()[0]


def mended(run, model, family):
    """What an encoder-decoder makes of a corrupted row."""
    from tinylm.backend import Random
    from tinylm.generate import generate
    from tinylm.generate.protocol.conditional import Conditional
    from tinylm.pretrain.batch import IGNORE

    special = family.special
    row = excerpt(run, min(run.config.context, 32))
    batch = run.objective().make_batch(row[None], Random(run.config.seed, "closing"))
    source, target = batch.inputs[0], batch.targets[0]
    lines = [
        "A text, what the encoder reads of it, and what the decoder says:",
        "",
        f"  text   {written(row, run, special)}",
        f"  reads  {written(source, run, special)}",
    ]
    if (target == IGNORE).any():  # it says the hidden places alone: nothing to generate freely
        places = np.flatnonzero(target != IGNORE)
        logits = model(batch.inputs, batch.decoder, source_mask=batch.mask).numpy()[0, places]
        return lines + [
            "",
            *(
                guessed(p + 1, row, target[p], run, special)
                for p, row in zip(places[: 2 * HIDDEN], logits)
            ),
        ]
    said = list(
        generate(
            Conditional(model, source),
            [special.start],
            2 * len(target),
            eos=special.end,
            temperature=0.0,
            notice=None,
        )
    )
    return lines + [f"  says   {written(said, run, special)}"]


def middle(run, model, family):
    """What a decoder puts between a beginning and an end."""
    from tinylm.generate import generate

    special, row = family.special, excerpt(run, max(3, min(run.config.context - 4, 48)))
    first, second = len(row) // 3, len(row) // 2
    prompt = [special.prefix, *row[:first], special.suffix, *row[second:], special.middle]
    room = max(1, run.config.context - len(prompt))
    said = list(generate(model, prompt, room, eos=special.end, temperature=0.0, notice=None))
    before, was, after = (
        written(part, run, special) for part in (row[:first], row[first:second], row[second:])
    )
    return [
        "A text whose middle is left out, the middle that the model writes, and the author's:",
        "",
        f"  {before} [...] {after}",
        f"  model   {written(said, run, special)}",
        f"  author  {was}",
    ]


def continued(run, model):
    """What follows a prefix that is read at once; the most probable token, step by step."""
    from tinylm.generate.sample import greedy
    from tinylm.pretrain.language.prefix import prefix_mask

    ids = list(excerpt(run, max(1, run.config.context // 2)))
    k = len(ids)
    while len(ids) < run.config.context:
        h = model.hidden(np.array(ids)[None], mask=prefix_mask(len(ids), k)[None])
        ids += greedy(model.logits(h[:, -1:]).numpy()[0]).tolist()
    text = [" ".join(run.tokenizer.decode(part).split()) for part in (ids[:k], ids[k:])]
    return [
        "A prefix, and how the model goes on, the most probable token each time:",
        "",
        f"  {text[0]}",
        f"  -> {text[1]}",
    ]


def shares(run, model):
    """The share of right answers on the validation text, as lines; none without such a text."""
    from tinylm.train.accuracy import accuracy

    rows = run.windows()[1]
    if rows is None:
        return []
    share, count, commonest = accuracy(model, run.objective(), rows, run.config.batch_size, SCORED)
    if share is None:
        return []
    return in_words(share, count, commonest)


def in_words(share, count, commonest):
    """What accuracy() returns, as lines."""
    lines = [
        f"Right answers on the validation text: {share:.1%} of {count:,} (always the commonest one: {commonest:.1%})"
    ]
    if share < 1.1 * commonest:
        lines.append(
            "It hardly does better than guessing yet. A few answers a row teach less a step than all next tokens do: "
            "give it more --steps and a larger --batch-size, such as 64."
        )
    return lines

"""Fill-mask on text: "To be or [MASK]" in, candidates with their probabilities out.

Each objective hides tokens in its own way, and a hidden place is predicted in the way that the
model was trained in; WAYS lists them, and `fills` of a Recipe (pretrain/objectives.py) names one.
Read first: generate/fill.py, the same on ids. Read next: text_to_text.py.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import no_grad
from tinylm.errors import ConfigError, DataError
from tinylm.generate import fill
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.models.encoder.xlnet import XLNet
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.marked_text import MASKS, MarkedText
from tinylm.pretrain.objectives import Recipe
from tinylm.pretrain.special import Special

MASK = MASKS[0]


@dataclass(frozen=True)
class Candidate:
    """What may stand at one hidden place, or at all of them.

    texts        one for each place
    probability  under the model; of several places that are written one after the other, of all
                 together
    """

    texts: tuple[str, ...]
    probability: float


@dataclass(frozen=True)
class Filled:
    """The result of a Filler.

    places   for each hidden place its Candidates, best first, where places are predicted one by
             one; () where a model writes all of them at once
    whole    Candidates for all places at once, best first; () where places are predicted one by one
    texts    whole texts, best first, of `whole`; of `places` one, from the best of each
    notes    lines on how the text was read
    """

    places: tuple
    whole: tuple
    texts: tuple[str, ...]
    notes: tuple[str, ...]


class Filler:
    """A model that predicts what is hidden in a text.

    name     of the model, for messages
    model    one that predicts hidden tokens, in evaluation mode; a GPT was trained to fill in the
             middle
    text     MarkedText
    way      key of WAYS
    frame    function: ids of a text -> (ids that the model reads, options of the model). It puts
             marks around the text
    marks    Special; None: those of a published tokenizer
    start, end  of an encoder-decoder: the ids that a target begins and ends with
    sentinels   of an encoder-decoder that writes spans
    """

    def __init__(
        self,
        name: str,
        model: Encoder | Electra | XLNet | Seq2Seq | GPT,
        text: MarkedText,
        way: str,
        frame: Callable[[np.ndarray], tuple[np.ndarray, dict[str, np.ndarray]]],
        marks: Special | None = None,
        start: int | None = None,
        end: int | None = None,
        sentinels: Sequence[int] = (),
    ) -> None:
        self.name, self.model, self.text, self.way, self.frame = name, model, text, way, frame
        self.marks, self.start, self.end = marks, start, end
        self.sentinels = sentinels

    def __call__(self, text: str, top: int = 5, max_tokens: int = 20) -> Filled:
        """The best candidates for every [MASK] of a text.

        top         candidates for a place, or for all of them, at most
        max_tokens  of what is written at places that may hold several, at most
        raises      DataError for a text without [MASK], or one that is too long
        """
        ids = self.text.encode(text)
        mask = self.text.mark(MASK)
        places = np.flatnonzero(np.isin(ids, [mask, *self.sentinels]))
        if not len(places):
            raise DataError(
                f"no {MASK} in {text!r:.60}: put {MASK} where the model is to guess, as in "
                f'"To be or {MASK}"'
            )
        with no_grad():
            return WAYS[self.way](self, ids, places, top, max_tokens)

    def check_length(self, ids: np.ndarray) -> None:
        """Raise DataError for more ids than the model reads."""
        model = self.model.generator if isinstance(self.model, Electra) else self.model
        most = getattr(model.config, "context", None)
        if most is not None and len(ids) > most:
            raise DataError(
                f"the text has {len(ids)} tokens with its marks, and {self.name} reads at most "
                f"{most}: give a shorter one"
            )

    def note(self) -> tuple[str, ...]:
        """How [MASK] is read, for one who looks for it in the tokenizer."""
        mask = self.text.mark(MASK)
        if self.marks is None:
            name = self.text.token_bytes(mask).decode().strip()
            if name == MASK:
                return ()
            return (f"{MASK} is read as {name}, id {mask} of the tokenizer",)
        words = self.text.words.vocab_size
        return (f"{MASK} is id {mask} of the model, behind the {words:,} ids of its tokenizer",)


def _one_by_one(filler, ids, places, logits, top, notes):
    """Filled from scores at places: logits (n, V)."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=-1, keepdims=True)  # softmax over the whole vocabulary
    found, best = [], ids.copy()
    for place, row in zip(places, p):
        order = np.argsort(-row, kind="stable")
        best[place] = next((i for i in order if not filler.text.is_special(int(i))), order[0])
        found.append(
            tuple(Candidate((filler.text.decode([int(i)]),), float(row[i])) for i in order[:top])
        )
    return Filled(tuple(found), (), (filler.text.decode(best),), notes)


def _masks(filler, ids, places, top, max_tokens):
    """An encoder scores every place from both sides at once."""
    row, options = filler.frame(ids)
    filler.check_length(row)
    shift = np.flatnonzero(np.isin(row, [filler.text.mark(MASK)]))
    logits = fill.hidden_logits(filler.model, row, shift, **options)
    notes = filler.note()
    if isinstance(filler.model, XLNet):
        notes = (f"{MASK} is not read: an XLNet predicts the place from the others",)
    if len(places) > 1:
        notes += ("each place is predicted by itself: the best ones need not fit together",)
    return _one_by_one(filler, ids, places, logits, top, notes)


def _written(filler, ids, places, top, reads_text):
    """A decoder predicts the places from left to right, after its best choices before."""
    source, _ = filler.frame(ids)
    filler.check_length(source)
    hidden = filler.text.mark(MASK)
    if reads_text:
        hidden = None
    logits = fill.written_logits(filler.model, source, ids, places, filler.start, hidden)
    notes = filler.note()
    if len(places) > 1:
        notes += ("places are predicted from left to right, each after the best before it",)
    return _one_by_one(filler, ids, places, logits, top, notes)


def _hidden(filler, ids, places, top, max_tokens):
    """The decoder was trained on hidden tokens alone, and reads [MASK] for all others."""
    return _written(filler, ids, places, top, reads_text=False)


def _copied(filler, ids, places, top, max_tokens):
    """The decoder writes the whole text, token for token: what is known of it is given."""
    return _written(filler, ids, places, top, reads_text=True)


def _rewritten(filler, ids, places, top, max_tokens):
    """The decoder writes the whole text anew, in which a [MASK] may be any number of tokens."""
    source, _ = filler.frame(ids)
    filler.check_length(source)
    lead = ids[: places[0]]
    longest = len(ids) - len(lead) + max_tokens
    found = fill.best_written(
        filler.model, source, filler.start, filler.end, top, longest, lead.tolist()
    )
    texts, whole = [], []
    for one in found:
        tokens = [i for i in one.tokens if i != filler.end]
        texts.append(filler.text.decode([*lead, *tokens]))
        whole.append(Candidate((texts[-1],), float(np.exp(one.logprob))))
    notes = (
        *filler.note(),
        "the model writes the whole text anew: one place may hold any number of tokens",
    )
    return Filled((), tuple(whole), tuple(texts), notes)


def _spans(filler, ids, places, top, max_tokens):
    """The decoder writes behind each sentinel what it stands for."""
    marks = filler.sentinels
    if len(places) >= len(marks):
        raise DataError(
            f"{len(places)} hidden places: {filler.name} has {len(marks)} sentinels, and the last "
            "ends the answer; hide fewer"
        )
    ids = ids.copy()
    ids[places] = marks[: len(places)]
    source, _ = filler.frame(ids)
    filler.check_length(source)
    # The first sentinel is sure to come, and the one behind the last span ends the answer.
    closing = marks[len(places)]
    longest = max_tokens + len(places)
    found = fill.best_written(filler.model, source, filler.start, closing, top, longest, [marks[0]])
    # Several strings of tokens may be the same text: their probabilities add up.
    chances, texts = {}, {}
    for one in found:
        written = fill.spans([marks[0], *one.tokens], marks)
        parts = [[i for i in written.get(k, []) if i != filler.end] for k in range(len(places))]
        spans = tuple(map(filler.text.decode, parts))
        chances[spans] = chances.get(spans, 0.0) + float(np.exp(one.logprob))
        texts.setdefault(spans, filler.text.decode(_put(ids, places, parts)))
    best = sorted(chances, key=lambda spans: -chances[spans])
    whole = tuple(Candidate(spans, chances[spans]) for spans in best)
    names = ", ".join(filler.text.decode([i]).strip() for i in marks[: len(places)])
    notes = (f"{MASK} is read as the sentinel {names}: a place may hold any number of tokens",)
    return Filled((), whole, tuple(texts[spans] for spans in best), notes)


def _middle(filler, ids, places, top, max_tokens):
    """A decoder that has read beginning and end writes the middle."""
    if len(places) > 1:
        raise DataError(f"{len(places)} hidden places: {filler.name} fills in one middle: hide one")
    special, place = filler.marks, places[0]
    before, after = ids[:place].tolist(), ids[place + 1 :].tolist()
    prompt = [special.prefix, *before, special.suffix, *after, special.middle]
    room = filler.model.config.context - len(prompt)
    if room < 1:
        filler.check_length([*prompt, special.end])
    found = fill.best_continued(
        filler.model, prompt, special.end, top, max(1, min(max_tokens, room))
    )
    whole, texts = [], []
    for one in found:
        part = [i for i in one.tokens if i != special.end]
        whole.append(Candidate((filler.text.decode(part),), float(np.exp(one.logprob))))
        texts.append(filler.text.decode(_put(ids, places, [part])))
    return Filled((), tuple(whole), tuple(texts), (f"{MASK} may be any number of tokens",))


def _put(ids, places, parts):
    """Ids with the parts in place of what stood at the places."""
    found, at = [], 0
    for place, part in zip(places, parts):
        found += [*ids[at:place].tolist(), *part]
        at = place + 1
    return [*found, *ids[at:].tolist()]


WAYS = {
    "masks": _masks,
    "hidden": _hidden,
    "copied": _copied,
    "rewritten": _rewritten,
    "spans": _spans,
    "middle": _middle,
}


def open_filler(name: str, device: str = "cpu") -> Filler:
    """The Filler of a run, or of published weights.

    raises   ConfigError for a model that predicts no hidden tokens, naming what to use instead;
             CheckpointError if there is no model of that name
    """
    from tinylm.backend import backend
    from tinylm.prompt.protocol.opened import read_model

    backend(device)  # raises here if the device is missing
    found = read_model(name)
    found.model.to(device).eval()
    if found.config is None:
        return _of_published(name, found)
    return _of_run(name, found)


def _of_run(name, found):
    model, config = found.model, found.config
    recipe = config.recipe
    instead = "use an encoder, such as that of `tinylm train --objective mlm`"
    if isinstance(model, GPT) and recipe.fills != "middle":
        raise ConfigError(
            f"{name} continues texts, it does not fill masks: `tinylm generate {name} ...`, or "
            f"{instead}"
        )
    if recipe.fills is None:
        does = "predicts no hidden tokens"
        if recipe.writes:
            does = f"writes texts: `tinylm generate {name} ...`"
        raise ConfigError(f"{name}: objective {recipe.name} {does}; to fill masks, {instead}")
    special = config.special(found.tokenizer.vocab_size)
    text = MarkedText(found.tokenizer, special)
    sentinels = special.sentinels if recipe.fills == "spans" else ()
    frame = frame_of(recipe, special)
    marks = special, special.start, special.end, sentinels
    return Filler(name, model, text, recipe.fills, frame, *marks)


def frame_of(recipe: Recipe, special: Special) -> Callable:
    """The marks that a run's model reads around a text: function ids -> (ids, options).

    A pair is two texts with [SEP] between them.
    """
    mode = special.others[:1]  # [R] of UL2: short spans are hidden

    def frame(ids):
        if not (recipe.paired or recipe.pairs):
            return np.concatenate([[special.cls], mode, ids]).astype(np.int64), {}
        cuts = np.flatnonzero(ids == special.sep)[:1]
        first, second = ids, None
        if len(cuts):
            first, second = ids[: cuts[0]], ids[cuts[0] + 1 :]
        row, parts = pack(special, first, second)
        name = "segments"
        if recipe.pairs:
            name = "languages"
        return row, {name: parts[None]}

    return frame


def _of_published(name, found):
    model, tokenizer, published = found.model, found.tokenizer, found.published
    if isinstance(model, GPT):
        raise ConfigError(
            f"{name} continues texts, it does not fill masks: `tinylm generate {name} ...`"
        )
    if isinstance(model, Encoder) and not (model.config.head or "").startswith("token"):
        raise ConfigError(
            f"{name} has no head that predicts tokens: its files hold the encoder alone, as for "
            "`tinylm embed`"
        )
    text = MarkedText(tokenizer, None)

    def frame(ids):
        before, after = _around(tokenizer, published)
        row = np.concatenate([before, ids, after]).astype(np.int64)
        return row, {}

    way, start, end, sentinels = "masks", None, None, ()
    if isinstance(model, Seq2Seq):
        start, end = model.config.start, published.special.get("eos")
        sentinels = _sentinels(tokenizer)
        way = "spans" if sentinels else "rewritten"
    if text.mark(MASK) is None and way != "spans":
        raise ConfigError(f"{name}: its tokenizer has neither [MASK] nor <mask>")
    return Filler(name, model, text, way, frame, None, start, end, sentinels)


def _around(tokenizer, published):
    """The ids that a published tokenizer puts before and behind one text."""
    frame = getattr(tokenizer, "frame", None)
    if frame is None:
        return list(published.begin), []
    items = [one for one, _ in frame[0]]
    at = items.index("A")
    return items[:at], items[at + 1 :]


def _sentinels(tokenizer):
    """The sentinels of a tokenizer as ids: T5's <extra_id_0>, .. or those of an export, [X], .."""
    for names in (_extra_ids(), _letters()):
        found = []
        for name in names:
            if name not in tokenizer.special:
                break
            found.append(tokenizer.special[name])
        if found:
            return tuple(found)
    return ()


def _extra_ids():
    return (f"<extra_id_{n}>" for n in itertools.count())


def _letters():
    """[X], [Y], [Z], [X3], [X4], ..   (pretrain/special.py)"""
    return itertools.chain(("[X]", "[Y]", "[Z]"), (f"[X{n}]" for n in itertools.count(3)))

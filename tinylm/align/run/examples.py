"""From files to examples, checked before the first step: what teaches nothing is left out and
counted, with its lines.

    data: 1,100 pairs read, 1,071 kept
      left out, an answer is empty: 3 (line 7, line 90, line 512)
      left out, both answers of a pair are the same: 26 (line 3, line 44, ...)
      cut: 12 (line 5, ...)
    validation: 107 of 1,071 examples are held back, 964 are learnt from

An empty answer teaches a model to end at once. A pair of two equal answers adds ln 2 to the loss
and nothing to the gradient, also where they become equal because both are cut. A record that cannot
be read raises, or with `skip_bad` is counted too (reading.py). Read first:
data/read/preferences.py, feedback/pairs.py. Read next: methods.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinylm.align.feedback.formats import Rating, pairs_of_ratings
from tinylm.align.feedback.pairs import encode_pairs
from tinylm.align.preference.judged import encode_judged
from tinylm.backend import Random
from tinylm.data.read.instructions import read_instructions
from tinylm.data.read.preferences import Judged, Preference, Rated, read_feedback
from tinylm.data.read.sources import shown, text_files
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import encode_samples
from tinylm.reading import BadLines

if TYPE_CHECKING:
    from tinylm.align.run.tunable import Tunable


SHOWN = 5  # places of a kind that are listed
EMPTY = "left out, an answer is empty"
SAME = "left out, both answers of a pair are the same"
ALONE = "left out, a rated answer has no other with another rating to be compared with"
NOT_WRITTEN = "left out, the tokenizer or the template has no form for it"
NO_ROOM = "left out, the prompt leaves no room for an answer"
SAME_CUT = "left out, both answers are the same once they are cut"
CUT = "cut"
IMPLICIT = "kept, without a field 'prompt': it is what both texts begin with"
BOTH_ORDERS = "kept, the same pair is also there in the other order"


@dataclass(frozen=True)
class Placed:
    """A sample, and where it stood: "line 3", or where there are several files "a.json line 3"."""

    what: object
    place: str


@dataclass(frozen=True)
class Example:
    """What a task learns from, and the text of its prompt: examples of one prompt stay together."""

    encoded: object
    prompt: tuple


class Checked:
    """The findings of a check: {kind: places}, in the order in which kinds were found."""

    def __init__(self) -> None:
        self.found = {}

    def add(self, kind: str, place: str) -> None:
        """Count one more of a kind."""
        self.found.setdefault(kind, []).append(place)

    def lines(self) -> list[str]:
        """The findings as lines to print; [] if there are none."""
        lines = []
        for kind, places in self.found.items():
            listed = ", ".join(places[:SHOWN])
            if len(places) > SHOWN:
                listed += f" and {len(places) - SHOWN:,} more"
            lines.append(f"  {kind}: {len(places):,} ({listed})")
        return lines


def encoded(
    encode: Callable, one: Placed, data: tuple[str, ...], skip_bad: bool, checked: Checked
) -> tuple:
    """encode(one.what), or None for what cannot be written as tokens, which is counted.

    encode   function: sample -> anything;  one  Placed;  data  as of read_all()
    raises   DataError with the place, unless skip_bad
    """
    try:
        return encode(one.what)
    except DataError as error:
        if not skip_bad:
            raise DataError(
                f"{shown(data)}, {one.place}: {error} (--skip-bad leaves such samples out and "
                "counts them)"
            ) from error
    checked.add(NOT_WRITTEN, one.place)
    return None


def read_all(
    read: Callable, data: tuple[str, ...], skip_bad: bool, report: Callable
) -> list[Placed]:
    """All samples of files with their places; what was skipped is reported.

    read     function: (path, bad, places) -> list
    data     files, folders and patterns
    report   function: line -> None
    returns  list of Placed
    """
    files, bad, found = text_files(data), BadLines(skip_bad), []
    for file in files:
        places = []
        samples = read(file, bad, places)
        if len(files) > 1:
            places = [f"{file.name} {place}" for place in places]
        found += map(Placed, samples, places)
    for line in bad.report():
        report(line)
    return found


def instruction_examples(
    opened: "Tunable",
    data: tuple[str, ...],
    skip_bad: bool,
    limit: int,
    turns: str,
    report: Callable,
) -> list[Example]:
    """Examples for InstructionTuning: list of Example.

    opened  Tunable;  limit  most tokens that the model reads;  turns  as in encode_samples
    """
    parts = opened.tokenizer, opened.template
    samples, checked, found = read_all(read_instructions, data, skip_bad, report), Checked(), []
    for one in samples:
        messages = one.what.messages()
        answers = [message for message in messages if message["role"] == "assistant"]
        texts = [
            str(message["content"] or "") for message in answers if "tool_calls" not in message
        ]
        if not all(text.strip() for text in texts):
            checked.add(EMPTY, one.place)
            continue
        written = encoded(
            lambda sample: encode_samples(*parts, [sample], limit, turns),
            one,
            data,
            skip_bad,
            checked,
        )
        if written is None:
            continue
        examples, cut, dropped = written
        if dropped:
            checked.add(NO_ROOM, one.place)
        if cut:
            checked.add(CUT, one.place)
        prompt = _key(messages[:-1])
        found += [Example(example, prompt) for example in examples]
    return _reported(found, "samples", len(samples), checked, data, limit, report)


def pair_examples(
    opened: "Tunable",
    data: tuple[str, ...],
    skip_bad: bool,
    limit: int,
    report: Callable,
    margins: bool = False,
) -> list[Example]:
    """Examples of pairs, for reward models and preference losses: list of Example of EncodedPair.

    margins  a pair made of two ratings keeps their difference as its margin
    raises   DataError for single judged answers, and if no pair is left
    """
    parts = opened.tokenizer, opened.template
    feedback, checked = read_all(read_feedback, data, skip_bad, report), Checked()
    for one in feedback:
        if isinstance(one.what, Judged):
            raise DataError(
                f"{shown(data)}, {one.place}: one answer with a label is no pair: learn from such "
                "answers with `tinylm align kto`"
            )
    pairs = [one for one in feedback if isinstance(one.what, Preference)]
    pairs += _rated_pairs(feedback, checked)
    _find_both_orders(pairs, checked)
    found = []
    for one in pairs:
        pair = one.what
        if pair.implicit:
            checked.add(IMPLICIT, one.place)
        if not pair.chosen.strip() or not pair.rejected.strip():
            checked.add(EMPTY, one.place)
            continue
        if pair.chosen == pair.rejected:
            checked.add(SAME, one.place)
            continue
        written = encoded(
            lambda pair: encode_pairs(*parts, [pair], limit), one, data, skip_bad, checked
        )
        if written is None:
            continue
        examples, left_out = written
        _count(left_out, one.place, checked)
        for example in examples:
            if not margins:
                example = _without_margin(example)
            found.append(Example(example, _key(pair.prompt_messages())))
    return _reported(found, "pairs", len(pairs), checked, data, limit, report)


def judged_examples(
    opened: "Tunable", data: tuple[str, ...], skip_bad: bool, limit: int, report: Callable
) -> list[Example]:
    """Examples of answers that are good or bad, for KTO: list of Example of EncodedAnswer.

    A pair counts as a good and a bad answer.
    """
    parts = opened.tokenizer, opened.template
    judged, checked, found = [], Checked(), []
    for one in read_all(read_feedback, data, skip_bad, report):
        if isinstance(one.what, Rated):
            raise DataError(
                f"{shown(data)}, {one.place}: a rating does not say whether an answer is good: "
                "give a field 'label', true or false, or learn from pairs of rated answers with "
                "`tinylm align dpo`"
            )
        if isinstance(one.what, Preference) and one.what.implicit:
            checked.add(IMPLICIT, one.place)
        judged += [Placed(answer, one.place) for answer in _single_answers(one.what)]
    for one in judged:
        if not one.what.answer.strip():
            checked.add(EMPTY, one.place)
            continue
        written = encoded(
            lambda answer: encode_judged(*parts, [answer], limit), one, data, skip_bad, checked
        )
        if written is None:
            continue
        examples, left_out = written
        _count(left_out, one.place, checked)
        found += [Example(example, _key(one.what.messages()[:-1])) for example in examples]
    return _reported(found, "answers", len(judged), checked, data, limit, report)


def _single_answers(feedback):
    """A pair as its good and its bad answer; a judged answer as it is."""
    if isinstance(feedback, Judged):
        return [feedback]
    rest = {"prompt": feedback.prompt, "before": feedback.before}
    good = Judged(answer=feedback.chosen, desirable=True, **rest)
    return [good, Judged(answer=feedback.rejected, desirable=False, **rest)]


def _rated_pairs(feedback, checked):
    """All pairs of answers to one prompt whose ratings differ, each where its better one stood."""
    groups, found = {}, []
    for one in feedback:
        if isinstance(one.what, Rated):
            groups.setdefault(one.what.prompt, []).append(one)
    for prompt, group in groups.items():
        places = {one.what.answer: one.place for one in group}
        pairs = pairs_of_ratings(
            [Rating(prompt, one.what.answer, one.what.rating) for one in group]
        )
        found += [Placed(pair, places[pair.chosen]) for pair in pairs]
        if not pairs:
            for one in group:
                checked.add(ALONE, one.place)
    return found


def _find_both_orders(pairs, checked):
    seen = set()
    for one in pairs:
        prompt, chosen, rejected = _key(one.what.prompt_messages()), *_answers(one.what)
        if chosen != rejected and (prompt, rejected, chosen) in seen:
            checked.add(BOTH_ORDERS, one.place)
        seen.add((prompt, chosen, rejected))


def _answers(pair):
    return pair.chosen, pair.rejected


def _without_margin(example):
    return replace(example, margin=0.0)


def _count(left_out, place, checked):
    """Count what an encoder did to one sample."""
    if left_out.empty:
        checked.add(NO_ROOM, place)
    elif left_out.identical:
        checked.add(SAME_CUT, place)
    elif left_out.cut:
        checked.add(CUT, place)


def _key(messages):
    return tuple((message["role"], message["content"]) for message in messages)


def about_held(train: Sequence, held: Sequence) -> str:
    """What held_back() did, as a line to print."""
    if held:
        return (
            f"validation: {len(held):,} of {len(train) + len(held):,} examples are held back, "
            f"{len(train):,} are learnt from"
        )
    return f"validation: none, all {len(train):,} examples are learnt from"


def _reported(found, things, read, checked, data, limit, report):
    """Print the report; raise DataError if nothing is left."""
    lines = [f"data: {read:,} {things} read, {len(found):,} kept", *checked.lines()]
    if NO_ROOM in checked.found or CUT in checked.found or SAME_CUT in checked.found:
        lines.append(f"  (the model reads {limit:,} tokens at most, prompt and answer together)")
    if not found:
        raise nothing_left(data, lines)
    for line in lines:
        report(line)
    return found


def nothing_left(data: tuple[str, ...], lines: Sequence[str]) -> DataError:
    """The DataError for files of which nothing can be learnt, with the report on them."""
    about = "; ".join(line.strip() for line in lines)
    return DataError(f"{shown(data)}: nothing is left to learn from: {about}")


def held_back(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list, list]:
    """Split off a part of the examples, all those of one prompt on one side.

    fraction  of all examples, 0 to 0.9; as near as whole prompts come. One prompt is always left
    returns   (encoded examples to train on, encoded examples held back), both in file order
    """
    prompts = list(dict.fromkeys(one.prompt for one in examples))
    order = Random(seed, "held back").permutation(len(prompts)).tolist()
    sizes = {}
    for one in examples:
        sizes[one.prompt] = sizes.get(one.prompt, 0) + 1
    wanted, held, count = round(fraction * len(examples)), set(), 0
    for i in order[:-1]:
        if count + sizes[prompts[i]] > wanted:
            continue
        held.add(prompts[i])
        count += sizes[prompts[i]]
    train = [one.encoded for one in examples if one.prompt not in held]
    return train, [one.encoded for one in examples if one.prompt in held]

"""Recursive decomposition and outlines: parts of the trained kind, a whole beyond it.

Book section 3.2.2. Two tasks, a small GPT of its own for each, in which a whole question is beyond
what was trained and its parts are not.

Roads: a road has two parts, and each of them two, down to pieces that lead from a town to another;
"Where does Bin lead?" has the answer "Abeton to Dorham", the beginning of the first part and the
end of the second. The model learns the parts of every road, where the pieces lead, to join two
answers, and the direct answers for half of the other roads. The rest are asked: directly, with
least-to-most prompting, which answers the two parts directly, and with recursive decomposition. Its
calls follow T(d) = 2 + 2 T(d - 1), and one for each piece; a vote of direct answers costs as many
tokens.

Sections: "Describe Abeton." with an outline of titles; each section is a sentence, "Abeton is known
for its bridge.", and a checker reads whether all are there, in the order of the outline. It is
written in one run, and section by section (`outline_then_write`); outlines of one to three titles
were trained, as many tokens of both ways, and six are tested too. Beside it is the best of as many
runs as cost the same.

Two layers of width 64, five seeds, about 4 minutes on one core. `python
scripts/3_prompting/parts_and_wholes.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of the tokens. Read next: tinylm/prompt/decompose/recursive.py.

Measured output (one core of a busy machine):

    roads of height                    1                   2                   3                   4
    direct           0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    vote             0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    least-to-most    0.93 (0.67 .. 1.00) 0.30 (0.00 .. 0.50) 0.20 (0.00 .. 0.33) 0.00 (0.00 .. 0.00)
    recursive        0.93 (0.67 .. 1.00) 0.97 (0.83 .. 1.00) 0.87 (0.33 .. 1.00) 0.90 (0.50 .. 1.00)
    its tokens                       310                 761                1572                2370
    its calls                        6.0                14.3                29.2                46.0
    T(d) + G                           6                  14                  30                  46
    texts of sections                                    3  tokens                   6  tokens
        one run                        1.00 (1.00 .. 1.00)      54 0.00 (0.00 .. 0.00)      56
        best of runs, as many tokens   1.00 (1.00 .. 1.00)      54 0.00 (0.00 .. 0.00)     522
        in sequence                    1.00 (1.00 .. 1.00)     170 0.45 (0.07 .. 0.80)     521
        in parallel                    1.00 (1.00 .. 1.00)     134 1.00 (1.00 .. 1.00)     341
    5 seeds; 238 s of one core
    roads of height 3 and 4: recursive > least-to-most (section 3.2.2): +0.783 [+0.514, +1.05], 5
      seeds: shows
    least-to-most > direct (section 3.2.2): +0.358 [+0.264, +0.452], 5 seeds: shows
    recursive > a vote of direct answers, as many tokens (section 3.2.2): +0.917 [+0.685, +1.15], 5
      seeds: shows
    three sections: section by section costs at most 0.1 (section 3.2.2): +0 [+0, +0], 5 seeds:
      shows
    six sections: in sequence > one run (section 3.2.2): +0.445 [+0.0243, +0.866], 5 seeds: too
      small to tell; 0.52 could have been seen
    six sections: in sequence > the best of runs, as many tokens (section 3.2.2): +0.445 [+0.0243,
      +0.866], 5 seeds: too small to tell; 0.52 could have been seen
    six sections: in parallel > in sequence (section 3.2.2): +0.555 [+0.134, +0.976], 5 seeds: shows

Nothing that was not read is composed directly: of the roads that were left out none is answered, by
one reply or by a vote, though the model knows all their parts. Least-to-most prompting goes one
level further, so it is right for pieces (0.93) and for larger roads where both parts happen to be
known; recursive decomposition of the same weights is right at every height (0.87 to 0.97), at the
calls of its law.

Sections: within the trained number one run is as good, and a third of the cost. Beyond it no run is
right, nor the best of nine. Sections in sequence are right for 0.45 of the texts, 0.07 to 0.80 by
seed: their prompts hold more sections than were trained. In parallel no prompt is new but for the
outline, and all are right: what a section need not know is better left out. The outline is given,
not the model's.
"""

import string
import sys
from functools import partial

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import distinct, generator, pick
from tinylm.data.synthetic.prompted.retrieval_qa import PLACES
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.prompt import TextModel
from tinylm.prompt.decompose.least_to_most import (
    decomposition_prompt,
    least_to_most,
    needed,
    solving_prompt,
)
from tinylm.prompt.decompose.outline import (
    Section,
    outline_then_write,
    render_outline,
    section_prompt,
)
from tinylm.prompt.decompose.recursive import calls, recursive_prompting
from tinylm.prompt.evaluation.compare import plain_vote
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.reasoning.conclusion import first_line
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

END = "<|end|>"
BATCH, RATE = 4, 3e-3
# Roads.
HEIGHT, TREES, HEIGHTS = 4, 3, (1, 2, 3, 4)  # 31 roads in each tree, 15 of which have parts
WAYS = "direct", "vote", "least-to-most", "recursive"
# Sections.
TITLES = dict(
    river="lies on its river", bridge="is known for its bridge", mayor="has a new mayor",
    market="holds a market", school="has built a school", festival="has a festival",
    harbor="has lost its harbor", museum="has a small museum",
)  # fmt: skip
TRAINED, TESTED = (1, 2, 3), (3, 6)  # titles of an outline
WRITTEN = "one run", "best of runs, as many tokens", "in sequence", "in parallel"
# Tokens for roads, and outlines of each length; with 400,000 the model knew two fifths of the parts
# (seed 100). Sections take two thirds of them.
TOKENS, ASKED = 650_000, 40
# Written before the run; scores are shares of the roads, or of the texts, one a seed.
DEEPER = Claim("roads of height 3 and 4: recursive > least-to-most", "3.2.2", least=0.1, limit=1.0)
LEAST = Claim("least-to-most > direct", "3.2.2", least=0.1, limit=1.0)
VOTE = Claim("recursive > a vote of direct answers, as many tokens", "3.2.2", least=0.1, limit=1.0)
SHORT = Claim("three sections: section by section costs at most 0.1", "3.2.2", least=-0.1)
LONG = Claim("six sections: in sequence > one run", "3.2.2", least=0.1, limit=1.0)
BEST = Claim("six sections: in sequence > the best of runs, as many tokens", "3.2.2", least=0.1)
APART = Claim("six sections: in parallel > in sequence", "3.2.2", limit=1.0)


def encoded(words, prompt, reply):
    """A prompt and its reply as a row, with the loss on the reply."""
    return encode_sft(words.encode(prompt), [*words.encode(f" {reply}"), words.special[END]])


def trained(words, rows, seed, device, context=256, **parts):
    """A TextModel that has read rows once."""
    model = small_gpt(words.vocab_size, context, seed, **parts).to(device)
    read_once(model, rows, BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


# Roads.


class Roads:
    """Roads with two parts each, down to pieces between two towns.

    parts   {road: (road, road)};  answers  {road: "town to town"}
    height  {road: int}, 0 of pieces;  known  roads whose direct answers are trained
    """

    def __init__(self, seed):
        rng = generator(seed, "roads")
        count = TREES * (2 ** (HEIGHT + 1) - 1)
        # Syllables in random order: no name shows whose part it is.
        names = distinct(
            [a + b + c for a in "BDGKLMN" for b in "aeiou" for c in "nrsl"], count, rng
        )
        self.parts, self.answers, self.height, self.known = {}, {}, {}, set()
        for tree in range(TREES):
            self._build(names[tree::TREES], [pick(PLACES, rng) for _ in range(2**HEIGHT + 1)])
        for height in HEIGHTS:
            roads = [road for road in self.parts if self.height[road] == height]
            self.known |= set(distinct(roads, len(roads) // 2, rng))

    def _build(self, names, towns):
        """A tree: the parts of road i are 2 i + 1 and 2 i + 2; its towns are in their order."""
        ends, last = {}, len(names) - 2**HEIGHT
        for i in reversed(range(len(names))):
            below = (2 * i + 1, 2 * i + 2)
            self.height[names[i]] = 0
            ends[i] = towns[i - last : i - last + 2]
            if i < last:
                self.parts[names[i]] = tuple(names[j] for j in below)
                self.height[names[i]] = 1 + self.height[names[below[0]]]
                ends[i] = ends[below[0]][0], ends[below[1]][1]
            self.answers[names[i]] = " to ".join(ends[i])

    def item(self, road):
        """The question about a road: Item. Its context stands before the questions of its parts."""
        return Item(question(road), self.answers[road], context="Roads.")

    def tested(self, height):
        """The roads of a height whose direct answer was not trained."""
        return [r for r in self.parts if self.height[r] == height and r not in self.known]


def question(road):
    """The question about a road."""
    return f"Where does {road} lead?"


def some_answer(rng):
    """An answer as any road may have it."""
    return " to ".join(pick(PLACES, rng) for _ in range(2))


def road_row(words, roads, rng):
    """A row of training: the parts of a road, two answers joined, or a direct answer."""
    road, kind = pick(list(roads.answers), rng), rng.random()
    item, below = roads.item(road), roads.parts.get(road, ())
    if kind < 0.35:
        return encoded(words, decomposition_prompt(item, ()), needed(item, map(question, below)))
    # Any two answers, so that what is learnt is to join them.
    if below and kind < 0.7:
        pairs = [(question(one), some_answer(rng)) for one in below]
        begin, end = pairs[0][1].split()[0], pairs[1][1].split()[-1]
        return encoded(words, solving_prompt(item, pairs), f"{begin} to {end}")
    if below and road not in roads.known:
        return road_row(words, roads, rng)
    # A road is asked alone, or as the first or the second part of another.
    if kind > 0.9:
        return encoded(words, solving_prompt(item, ()), item.answer)
    before = []
    if rng.random() < 0.5:
        before = [(question(pick(list(roads.answers), rng)), some_answer(rng))]
    return encoded(words, solving_prompt(item, before, question(road)), item.answer)


def road_model(seed, tokens, device):
    """(TextModel, Roads) of a seed."""
    roads, rng, rows, used = Roads(seed), generator(seed, "lessons"), [], 0
    items = [roads.item(road) for road in roads.answers]
    texts = [needed(item, [item.question] * 2) for item in items]
    texts += [decomposition_prompt(items[0], ()), solving_prompt(items[0], [("", "")] * 2)]
    texts += [solving_prompt(items[0], [("", "")] * k, "x") for k in range(2)]
    texts += [f" {town} to" for town in PLACES]
    words = UnigramTokenizer.of_words(texts, string.ascii_letters + string.digits, [END])
    while used < tokens:
        rows.append(road_row(words, roads, rng))
        used += len(rows[-1])
    return trained(words, rows, seed, device), roads


OPTIONS = {"decompositions": (), "read": first_line, "max_tokens": 60}
METHODS = {
    # recursion of depth 0: the question with the prompt of all ways
    "direct": partial(recursive_prompting, depth=0, **OPTIONS),
    "least-to-most": partial(least_to_most, **OPTIONS),
    "recursive": partial(recursive_prompting, depth=HEIGHT, **OPTIONS),
}


def journeys(seed, tokens, device):
    """{(way, height): (share right, tokens of a road, calls of a road)}."""
    lm, roads = road_model(seed, tokens, device)
    found = {}

    def asked(way, items, height, method, **options):
        records = answer_together(lm, method, items, seed=seed, **options)
        right = np.mean([r.value == item.answer for r, item in zip(records, items)])
        cost = [np.mean([getattr(r, name) for r in records]) for name in ("tokens", "calls")]
        found[way, height] = (right, *cost)

    for height in HEIGHTS:
        items = [roads.item(road) for road in roads.tested(height)]
        for way, method in METHODS.items():
            asked(way, items, height, method)
        count = max(2, round(found["recursive", height][1] / found["direct", height][1]))
        direct = METHODS["direct"]
        asked("vote", items, height, plain_vote, plain=direct, count=count, temperature=1.0)
    print(f"seed {seed}, roads: {found['recursive', HEIGHT][0]:.2f}", file=sys.stderr, flush=True)
    return found


# Sections.


def outline_of(count, rng):
    """(task, list of Section) of a text about a place."""
    titles = distinct(list(TITLES), count, rng)
    return f"Describe {pick(PLACES, rng)}.", [Section(title) for title in titles]


def sentence(task, section):
    """The right text of a section."""
    place = task.removeprefix("Describe ").removesuffix(".")
    return f"{place} {TITLES[section.title]}."


def run_prompt(task, sections):
    """The prompt for the whole text in one run."""
    return f"Task: {task}\n\nOutline:\n{render_outline(sections)}\n\nWrite the text.\nText:"


def text_of(task, sections):
    """The right text, as outline_then_write joins it, on one line for a run."""
    return " ".join(f"{one.title}: {sentence(task, one)}" for one in sections)


def section_rows(words, rng):
    """The two kinds of rows of an outline: the text in one run, and one of its sections."""
    task, sections = outline_of(int(rng.choice(TRAINED)), rng)
    i = int(rng.integers(len(sections)))
    # In sequence a section stands after those before it, in parallel alone.
    before = [sentence(task, one) for one in sections[:i]]
    if rng.random() < 0.5:
        before = []
    whole_text = encoded(words, run_prompt(task, sections), text_of(task, sections))
    part = encoded(words, section_prompt(task, sections, i, before), sentence(task, sections[i]))
    return whole_text, part


def section_model(seed, tokens, device):
    """A TextModel that writes in both ways, as many tokens of each."""
    rng, texts = generator(0, "titles"), [f" {n}" for n in range(1, 9)]
    for _ in range(100):
        task, sections = outline_of(6, rng)
        before = [sentence(task, one) for one in sections[:5]]
        texts += [run_prompt(task, sections), f" {text_of(task, sections)}"]
        texts += [section_prompt(task, sections, 5, before), f" {before[0]}"]
    words = UnigramTokenizer.of_words(texts, string.ascii_letters + string.digits, [END])
    rng, rows, used = generator(seed, "sections"), [], [0, 0]
    while min(used) < tokens / 2:
        for kind, row in enumerate(section_rows(words, rng)):
            if used[kind] < tokens / 2:
                rows.append(row)
                used[kind] += len(row)
    return trained(words, rows, seed, device, positions="rope")


def written(lm, way, task, sections, seed, runs=1):
    """Whether a text is as its outline has it, by a checker that reads all of it."""
    if way in ("in sequence", "in parallel"):
        answer = outline_then_write(
            lm, Item(task), outline=sections, parallel=way == "in parallel", max_tokens=20
        )
        return answer.details["sections"] == [sentence(task, one) for one in sections]
    for i in range(runs):
        options = {"max_tokens": 20 * len(sections), "seed": seed + i}
        if runs > 1:
            options["temperature"] = 1.0
        if lm.complete(run_prompt(task, sections), **options).text.strip() == text_of(
            task, sections
        ):
            return True
    return False


def sections_of(seed, tokens, count, device):
    """{(way, titles): (share of right texts, tokens of a text)}."""
    lm, found = section_model(seed, tokens, device), {}
    for titles in TESTED:
        rng = generator(seed, f"outlines {titles}")
        cases, runs = [outline_of(titles, rng) for _ in range(count)], 1
        one, best, sequence, parallel = WRITTEN
        for way in (one, sequence, parallel, best):
            before = lm.account.copy()
            right = np.mean([written(lm, way, *case, seed, runs) for case in cases])
            found[way, titles] = right, lm.account.since(before).tokens / count
            if way == parallel:
                runs = max(2, round(found[sequence, titles][1] / found[one, titles][1]))
            print(f"seed {seed}, {titles} titles, {way}: {right:.2f}", file=sys.stderr)
    return found


def run(_, seed, tokens, count, device):
    """All measurements of one seed: (those of roads, those of sections)."""
    return journeys(seed, tokens, device), sections_of(seed, 2 * tokens // 3, count, device)


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""
    print(f"{'roads of height':<16}" + "".join(f"{h:>20}" for h in HEIGHTS))
    for way in WAYS:
        cells = [mean_and_range([r[way, h][0] for r, _ in runs], ".2f") for h in HEIGHTS]
        print(f"{way:<16}" + "".join(f"{cell:>20}" for cell in cells))
    for name, k, form in (("its tokens", 1, ".0f"), ("its calls", 2, ".1f")):
        means = [np.mean([r[WAYS[-1], h][k] for r, _ in runs]) for h in HEIGHTS]
        print(f"{name:<16}" + "".join(f"{mean:>20{form}}" for mean in means))
    # With a call of G for each piece, whose depth is not used up, except at the last level.
    law = [calls(2, h) + (2**h) * (h < HEIGHT) for h in HEIGHTS]
    print(f"{'T(d) + G':<16}" + "".join(f"{value:>20}" for value in law))
    print(f"{'texts of sections':<34}" + "".join(f"{n:>20}{'tokens':>8}" for n in TESTED))
    for way in WRITTEN:
        cells = []
        for n in TESTED:
            rows = [r[way, n] for _, r in runs]
            cells.append(f"{mean_and_range([row[0] for row in rows], '.2f'):>20}")
            cells.append(f"{np.mean([row[1] for row in rows]):>8.0f}")
        print(f"    {way:<30}" + "".join(cells))


def verdicts(runs):
    """Print the verdict of every claim."""

    def tested(way, heights=HEIGHTS):
        return [np.mean([r[way, h][0] for h in heights]) for r, _ in runs]

    def texts(way, titles):
        return [r[way, titles][0] for _, r in runs]

    direct, vote, listed, recursive = WAYS
    one, best, sequence, parallel = WRITTEN
    print(DEEPER.line(tested(recursive, (3, 4)), tested(listed, (3, 4))))
    print(LEAST.line(tested(listed), tested(direct)))
    print(VOTE.line(tested(recursive), tested(vote)))
    print(SHORT.line(texts(sequence, 3), texts(one, 3)))
    print(LONG.line(texts(sequence, 6), texts(one, 6)))
    print(BEST.line(texts(sequence, 6), texts(best, 6)))
    print(APART.line(texts(parallel, 6), texts(sequence, 6)))


main = main_of(__doc__, lambda: None, run, show, verdicts, (TOKENS, ASKED), quick=5)

if __name__ == "__main__":
    main()

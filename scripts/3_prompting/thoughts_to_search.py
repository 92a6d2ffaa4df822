"""Tasks and models of thought_search.py: the game of 24 in steps, and letters to be sorted.

The game. A hand of four numbers from 1 to 9 is combined to 24 by three steps, a line each: "13 - 9
= 4 (left: 4 4 10)". A GPT of two layers and width 64 reads solutions of four hands of five (their
steps have no negative numbers and no fractions), and judgements of states: after the words with
which `value_thoughts` evaluates, "sure" if 24 can be reached from what is left, else "impossible".
Sorting. "Sdbca>abcd" sorts letters, "Mbd|ac>abcd" merges two sorted lists; a second GPT reads lists
of 1 to 16 letters, and merges of two lists of 1 to 8. Both stop before they have learnt all. Book
section 3.2.1. Read next: thought_search.py.
"""

from functools import cache

import numpy as np
from small_runs import read_once, small_gpt

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator
from tinylm.finetune.instruct.conversations import encode_sft, pack
from tinylm.prompt import TextModel
from tinylm.prompt.reasoning.error_injection import change_number
from tinylm.prompt.reasoning.game_of_24 import Hand, after_step, combinations, solvable, solved
from tinylm.prompt.reasoning.sorting import sort_by_merging
from tinylm.prompt.reasoning.thoughts import EVALUATE, sample_thoughts
from tinylm.prompt.template.fields import render_fields
from tinylm.tokenizers import CharTokenizer, UnigramTokenizer

LARGEST, MOST = 9, 99  # of a hand, and of a result
ROW, BATCH, RATE = 240, 2, 3e-3  # examples are packed into rows of so many tokens
EOS = "<|endoftext|>"
VERDICTS = {" sure": 1.0, " impossible": 0.0}
DEPTH, LINE = 3, 24  # steps of a game; most tokens of a line


def hands():
    """All hands from which 24 can be reached in whole numbers: list of Hand, in random order."""
    found = []
    for a in range(1, LARGEST + 1):
        for b in range(a, LARGEST + 1):
            for c in range(b, LARGEST + 1):
                for d in range(c, LARGEST + 1):
                    hand = Hand.of((a, b, c, d))
                    if reachable(hand):
                        found.append(hand)
    order = Random(0, "hands").permutation(len(found)).tolist()
    return [found[i] for i in order]


def moves(hand):
    """Steps to whole numbers from 0 to MOST: list of Hand."""
    return [Hand(one.left, (*hand.steps, *one.steps)) for one in _moves(hand.left)]


@cache
def _moves(left):
    return [
        child
        for child in combinations(Hand(left))
        if all(n.denominator == 1 and 0 <= n <= MOST for n in child.left)
    ]


def reachable(hand):
    """True if such steps lead to 24."""
    return _reachable(hand.left)


@cache
def _reachable(left):
    if len(left) == 1:
        return solved(Hand(left))
    return any(_reachable(child.left) for child in _moves(left))


def numbers_of(hand):
    return " ".join(str(n) for n in hand.left)


def question(hand):
    """The Item of a hand. Its answer is 24: whether the steps are right, `reached` finds out."""
    return Item(numbers_of(hand), "24")


def prompt_of(item):
    return f"Numbers: {item.question}"


def hand_after(question, lines):
    """The hand after some lines: Hand, or None if one of them is no step."""
    hand = Hand.of(map(int, question.split()))
    for line in lines:
        hand = after_step(hand, line)
        if hand is None:
            return None
    return hand


def reached(question, lines):
    """True if the lines are three right steps to 24."""
    hand = hand_after(question, lines)
    return hand is not None and solved(hand)


# Training texts of the game.


def solution(hand, rng):
    """A random one of the solutions of a hand: list of lines."""
    while len(hand.left) > 1:
        good = [child for child in moves(hand) if reachable(child)]
        hand = good[rng.integers(len(good))]
    return hand.steps


def state(hand, wanted, rng):
    """A random state of one to three steps, if possible with the verdict that is wanted: (lines,
    True if 24 can be reached). Half of those that lead nowhere have a wrong number in a line.
    """
    spoil = not wanted and rng.integers(2) == 0
    for _ in range(20):
        one = hand
        for _ in range(int(rng.integers(1, DEPTH + 1))):
            after = moves(one)
            if not after:
                break
            # Along the solutions, where such a state is wanted: few others are on one.
            good = [child for child in after if reachable(child)]
            if (wanted or spoil) and good:
                after = good
            one = after[rng.integers(len(after))]
        if spoil:
            return (*one.steps[:-1], spoilt(one.steps[-1], rng, 1.0)), False
        if reachable(one) == wanted:
            break
    return one.steps, reachable(one)


def judged(question, steps):
    """The prompt of value_thoughts for a state: str."""
    fields = [("", EVALUATE), ("Question", question), ("Steps", " ".join(steps))]
    return render_fields([*fields, ("Evaluation", None)])


def game_tokenizer():
    """Words, signs and numbers are a token each."""
    words = [judged("1 2", ["1 + 2 = 3 (left: 3)"]), " sure impossible", "Numbers: 1 - 2 * 3 / 4"]
    for n in range(MOST + 1):
        words += [f"{n}", f" {n}"]  # a number that begins a line has no space before it
    return UnigramTokenizer.of_words([*words, "\n"], "0123456789 ()", [EOS])


def game_texts(words, known, tokens, rng):
    """Solutions and judgements, a half of the tokens each: list of Encoded."""
    found, used, end = [], {True: 0, False: 0}, words.special[EOS]
    while sum(used.values()) < tokens:
        hand = known[rng.integers(len(known))]
        judging = used[True] < used[False]
        if judging:
            lines, leads = state(hand, rng.integers(2) == 0, rng)
            context, target = judged(numbers_of(hand), lines), " impossible"
            if leads:
                target = " sure"
        else:
            lines = "".join(f"\n{line}" for line in solution(hand, rng))
            context, target = prompt_of(question(hand)), f"{lines}\n"
        found.append(encode_sft(words.encode(context), [*words.encode(target), end]))
        used[judging] += len(found[-1])
    return found


def trained(texts, words, end, seed, device):
    """A model that has read texts: TextModel."""
    model = small_gpt(words.vocab_size, 256, seed).to(device)
    read_once(model, pack(texts, ROW), BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(end,), batch_size=256)


def player(known, tokens, seed, device):
    """A model that proposes steps and judges states: TextModel."""
    words = game_tokenizer()
    texts = game_texts(words, known, tokens, generator(seed, "game"))
    return trained(texts, words, words.special[EOS], seed, device)


# The parts of a search, with errors that are put in.


def proposer(lm, item, branches, seed, errors=0.0, temperature=1.0):
    """propose() of a search: lines that the model samples; a share of `errors` of them gets a wrong
    last number.
    """
    rng, calls = np.random.default_rng(seed), 0

    def propose(lines):
        nonlocal calls
        calls += 1
        options = {"max_tokens": LINE, "temperature": temperature}
        states = sample_thoughts(
            lm, prompt_of(item), lines, branches, seed=seed + branches * calls, **options
        )
        return [(*one[:-1], spoilt(one[-1], rng, errors)) for one in states]

    return propose


def spoilt(line, rng, errors):
    """The line, its last number changed with a probability."""
    if rng.random() >= errors:
        return line
    return change_number(line, rng) or line


def exact_values(item, states):
    """1 for a state from which 24 can be reached, 0 for others and for wrong steps."""
    after = [hand_after(item.question, lines) for lines in states]
    return np.array([float(hand is not None and solvable(hand)) for hand in after])


# Sorting.

LETTERS = "abcdefghij"
SIGNS = CharTokenizer(LETTERS + "SM|>\n")
LINE_END = int(SIGNS.encode("\n")[0])
LONGEST = 16  # letters of a list


def letters(count, rng):
    """A list as a word."""
    return "".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), count))


def ordered(word):
    """The word sorted."""
    return "".join(sorted(word))


def sorting_texts(tokens, rng):
    """Lists to sort and lists to merge, as many of each: list of Encoded."""
    found, used = [], 0
    while used < tokens:
        whole = letters(int(rng.integers(1, LONGEST + 1)), rng)
        parts = [ordered(letters(int(rng.integers(1, LONGEST // 2 + 1)), rng)) for _ in range(2)]
        for query, given in ((f"S{whole}>", whole), (f"M{'|'.join(parts)}>", "".join(parts))):
            found.append(encode_sft(SIGNS.encode(query), SIGNS.encode(f"{ordered(given)}\n")))
            used += len(found[-1])
    return found


def sorter(tokens, seed, device):
    """A model that sorts and merges: TextModel."""
    return trained(sorting_texts(tokens, generator(seed, "sort")), SIGNS, LINE_END, seed, device)


def outputs(lm, query, count, seed):
    """Samples of a list: list of str."""
    replies = lm.sample(query, count, seed, max_tokens=LONGEST + 2, stop=("\n",))
    return [reply.text for reply in replies]


def merged_sort(lm, word, *, parts, count, seed, value, errors=0.0):
    """sort_by_merging with a model: (ThoughtGraph, number of the last thought).

    errors  share of sorted parts, and of merged lists, two neighbors of which are exchanged
    """
    rng, calls = np.random.default_rng(seed), 0

    def ask(query):
        nonlocal calls
        calls += 1
        found = outputs(lm, query, count, seed + count * calls)
        return [list(swapped(one, rng, errors)) for one in found]

    def sort(part):
        return ask(f"S{''.join(part)}>")

    def merge(pair):
        return ask(f"M{''.join(pair[0])}|{''.join(pair[1])}>")

    return sort_by_merging(word, sort, merge, parts=parts, value=value)


def swapped(word, rng, errors):
    """The word, two neighbors of which are exchanged with a probability."""
    if rng.random() >= errors or len(word) < 2:
        return word
    at = int(rng.integers(len(word) - 1))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def first_output(output, given):
    """The value of a graph that judges nothing: of equal ones the first is kept."""
    return 0.0

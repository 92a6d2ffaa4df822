import numpy as np
import pytest

from tinylm.align.prompting.corrector import (
    CORRECT,
    Correction,
    CorrectionPool,
    Hypothesis,
    corrected,
    correction_texts,
    draw_pairs,
    pair_weights,
)
from tinylm.autograd import no_grad
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.prompt import Answer, ScriptedLM

ITEM, OTHER = Item("Sort c a b"), Item("Sort b a")
VALUES = {"c a b": 0.0, "a c b": 0.5, "a b c": 1.0, "b a": 0.0}


def pool(**options):
    found = CorrectionPool(lambda item, text: VALUES[text], **options)
    found.add(ITEM, ["c a b", "a c b"])
    found.add(OTHER, ["b a"])
    return found


def texts(pairs):
    return [(pair.worse.text, pair.better.text) for pair in pairs]


def test_a_pool_holds_each_text_once_with_its_value():
    one = pool()
    assert one.add(ITEM, ["a b c", "c a b", "a b c"]) == 1
    assert one.hypotheses(ITEM) == [
        Hypothesis("c a b", 0.0),
        Hypothesis("a c b", 0.5),
        Hypothesis("a b c", 1.0),
    ]
    assert one.hypotheses(Item("unseen")) == []


def test_pairs_go_from_worse_to_better_of_one_question():
    one = pool()
    assert texts(one.pairs()) == [("c a b", "a c b")]
    one.add(ITEM, ["a b c"])
    assert texts(one.pairs()) == [("c a b", "a c b"), ("c a b", "a b c"), ("a c b", "a b c")]
    assert [pair.gain for pair in one.pairs()] == [0.5, 1.0, 0.5]
    assert {pair.item for pair in one.pairs()} == {ITEM}


def test_a_pair_must_gain_more_than_the_least():
    one = pool(least=0.5)
    one.add(ITEM, ["a b c"])
    assert texts(one.pairs()) == [("c a b", "a b c")]


def test_better_outputs_weigh_by_their_gain_and_their_similarity():
    one = pool()
    one.add(ITEM, ["a b c"])
    pairs = one.pairs()
    similarity = {("c a b", "a c b"): 0.2, ("c a b", "a b c"): 0.1, ("a c b", "a b c"): 0.9}
    found = pair_weights(pairs, 2.0, 3.0, lambda a, b: similarity[a, b])
    # the two of the draft "c a b": exp(2 * .5 + 3 * .2) and exp(2 * 1 + 3 * .1); the other is alone
    first, second = np.exp(1.6), np.exp(2.3)
    assert found == pytest.approx([first / (first + second), second / (first + second), 1])
    only_gain = pair_weights(pairs, beta=0.0)  # alpha is 1
    assert only_gain[1] / only_gain[0] == pytest.approx(np.exp(0.5))
    only_near = pair_weights(pairs, 0.0, similarity=lambda a, b: similarity[a, b])
    assert only_near[0] / only_near[1] == pytest.approx(np.exp(0.1))


def test_equal_drafts_of_two_questions_are_two_drafts():
    a, b = Hypothesis("x", 0.0), Hypothesis("y", 1.0)
    assert pair_weights([Correction(ITEM, a, b), Correction(OTHER, a, b)]).tolist() == [1, 1]


def test_drafts_are_drawn_uniformly_and_then_what_is_better():
    one = pool()
    one.add(ITEM, ["a b c"])
    drawn = draw_pairs(one.pairs(), 4000, np.random.default_rng(0), alpha=2.0, beta=0.0)
    share = np.mean([pair.worse.text == "c a b" for pair in drawn])
    assert share == pytest.approx(0.5, abs=0.03)  # four standard errors: two drafts
    of_it = [pair.better.text == "a b c" for pair in drawn if pair.worse.text == "c a b"]
    assert np.mean(of_it) == pytest.approx(np.e / (1 + np.e), abs=0.04)
    with pytest.raises(ConfigError, match="no output of a question is better"):
        draw_pairs([], 1, np.random.default_rng(0))


def test_the_corrector_reads_question_and_draft_and_writes_the_better_output():
    pair = Correction(ITEM, Hypothesis("c a b", 0.0), Hypothesis("a b c", 1.0))
    prompt, answer = correction_texts(pair)
    assert prompt == "Question: Sort c a b\nDraft: c a b\nCorrected:"
    assert answer == " a b c"  # no line break: it would be the end of the reply
    assert prompt == CORRECT.format(question="Sort c a b", draft="c a b")


def prompt(draft):
    return CORRECT.format(question=ITEM.question, draft=draft)


def predict(lm, item, demonstrations=(), **options):
    return Answer("C A B", "c a b")


def test_a_draft_is_corrected_by_another_model():
    corrector = ScriptedLM([(prompt("c a b"), " a c b"), (prompt("a c b"), " a b c\nDraft: x")])
    answer = corrected(
        ScriptedLM([]), ITEM, corrector=corrector, predict=predict, rounds=2, read=str.upper
    )
    assert (answer.value, answer.text) == ("A B C", "a b c") and corrector.finished
    assert answer.details == {"drafts": ["c a b", "a c b", "a b c"], "stopped": "count"}


def test_one_correction_by_the_generator_itself_unless_others_are_given():
    lm = ScriptedLM([(prompt("c a b"), "a c b")])
    assert corrected(lm, ITEM, predict=predict).value == "a c b" and lm.finished
    assert corrected(ScriptedLM([]), ITEM, predict=predict, rounds=0).value == "C A B"


def test_an_unchanged_draft_ends_the_corrections_and_keeps_its_reading():
    lm = ScriptedLM([(prompt("c a b"), "c a b")])
    answer = corrected(lm, ITEM, predict=predict, rounds=5)
    assert answer.value == "C A B" and answer.details["stopped"] == "unchanged"


def test_what_is_empty_is_no_answer():
    lm = ScriptedLM([(prompt("c a b"), "")])
    answer = corrected(lm, ITEM, predict=predict)
    assert (answer.value, answer.text, answer.details["stopped"]) == (None, "", "empty")
    none = corrected(lm, ITEM, predict=lambda *args, **options: Answer(None, ""))
    assert none.value is None and none.details == {"drafts": [], "stopped": "empty"}


def test_every_correction_has_a_seed_of_its_own():
    seeds = []

    class Seeds(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seeds.append((seed, max_tokens))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Seeds([(None, "a"), (None, "b")])
    corrected(lm, ITEM, predict=predict, rounds=2, seed=7)
    assert seeds == [(8, 256), (9, 256)]


def test_a_trained_corrector_gains_and_beats_two_drafts():
    # The generator copies one digit and errs in .6 of all cases: always with the next digit.
    rng = np.random.default_rng(0)

    def drafts(n):
        digits = rng.integers(8, size=n)
        return digits, (digits + (rng.random(n) < 0.6)) % 8

    pool = CorrectionPool(lambda item, text: float(item.question == text))
    for digit, draft in zip(*drafts(200)):
        pool.add(Item(str(digit)), [str(draft)])
    pairs = draw_pairs(pool.pairs(), 64, rng)
    examples = [
        encode_sft([int(p.item.question), 8, int(p.worse.text), 9], [int(p.better.text)])
        for p in pairs
    ]
    model = GPT(GPTConfig(10, 8, 1, 2, 16), 0)
    fit(model, InstructionTuning(), examples, epochs=20, learning_rate=1e-2)
    digits, first = drafts(200)
    _, second = drafts(200)
    with no_grad():
        rows = np.stack([digits, np.full(200, 8), first, np.full(200, 9)], axis=1)
        found = model(rows).data[:, -1].argmax(axis=-1)
    right = np.mean(first == digits)
    either = 1 - (1 - right) ** 2  # an oracle takes the better of two drafts: as many samples
    assert np.mean(found == digits) > either > right

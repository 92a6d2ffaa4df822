"""Which demonstrations a question is shown: the prompts that are sent, for a pool of a few."""

import inspect

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation import chosen_methods as methods
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.learned_retriever import learn_retriever
from tinylm.prompt.in_context.selection import BagOfWords, text_of

POOL = [
    Item("red apple", "fruit"),
    Item("red apple tart", "cake"),
    Item("grey cat", "pet"),
    Item("wet grey stone", "rock"),
]
ASKED = Item("ripe red apple")
LINES = FewShotPrompt(question_name="", answer_name="", between=" = ", separator="\n")


def shown(method, item=ASKED, pool=POOL, **options):
    """The demonstrations of the prompt that a method sends."""
    lm = ScriptedLM([(None, " x")])
    answer = method(lm, item, pool, prompt=LINES, **options)
    assert answer.value == "x"
    *lines, last = lm.prompts[0].split("\n")
    assert last == f"{item.question} ="
    return [line.partition(" = ")[0] for line in lines]


def test_the_nearest_come_last():
    assert shown(methods.nearest, k=2) == ["red apple tart", "red apple"]
    assert shown(methods.nearest, k=1) == ["red apple"]
    assert len(shown(methods.nearest)) == 4
    assert shown(methods.nearest, k=2, order="nearest first") == ["red apple", "red apple tart"]
    assert shown(methods.nearest, k=2, embed="words") == ["red apple tart", "red apple"]
    orders = {tuple(shown(methods.nearest, order="random", seed=seed)) for seed in range(9)}
    assert len(orders) > 1
    # A question is never its own demonstration.
    assert "grey cat" not in shown(methods.nearest, POOL[2])


def test_rare_words_and_angles_differ():
    # "a a" has the angle 0 to "a"; BM25 counts how often a word occurs, and how long a text is.
    pool = [Item("a b b b", "1"), Item("a c", "2"), Item("d", "3")]
    asked = Item("a b")
    assert shown(methods.nearest, asked, pool, k=1) == ["a b b b"]
    assert shown(methods.nearest, asked, pool, k=1, embed="words") == ["a b b b"]


def test_an_index_is_made_once_for_a_pool(monkeypatch):
    made = []
    real = methods.selection.NearestByWords
    monkeypatch.setattr(
        methods.selection, "NearestByWords", lambda pool: made.append(pool) or real(pool)
    )
    methods._near.cache_clear()
    for question in ("one", "two", "three"):
        shown(methods.nearest, Item(question))
    assert len(made) == 1
    shown(methods.nearest, pool=POOL[:3])
    assert len(made) == 2
    methods._near.cache_clear()


def test_different_ones_are_not_twice_the_same():
    assert shown(methods.nearest, k=2, embed="words")[0] == "red apple tart"
    assert shown(methods.diverse, k=2, trade_off=1.0) == ["red apple tart", "red apple"]
    second = shown(methods.diverse, k=2, trade_off=0.0)[0]
    assert second in ("grey cat", "wet grey stone")
    assert len(shown(methods.diverse)) == 4


def test_one_of_each_cluster_whatever_the_question():
    first = shown(methods.clustered, k=2)
    assert len({name in ("red apple", "red apple tart") for name in first}) == 2
    assert shown(methods.clustered, Item("anything"), k=2) == first
    assert len(shown(methods.clustered, k=9)) == 4 == len(shown(methods.clustered))


def test_a_retriever_is_trained_once_and_answers_all():
    lm = text_model(context=160, n_layer=1)
    asked = [Item("ripe apple"), Item("grey"), Item("x" * 200)]
    options = {"k": 2, "candidates": 3, "kept": 1, "epochs": 2, "max_tokens": 3}
    *answers, error = methods.learned(lm, asked, POOL, prompt=LINES, seed=4, **options)
    bag = BagOfWords([text_of(item) for item in POOL])
    learnt = {"kept": 1, "epochs": 2, "seed": 4, "prompt": LINES}
    choose = learn_retriever(lm, POOL, bag, None, 3, **learnt)
    for number, (item, answer) in enumerate(zip(asked, answers)):
        like = few_shot(
            lm, item, choose(item, 2), prompt=LINES, seed=4 + 1000 * number, max_tokens=3
        )
        assert answer.text == like.text and answer.details["kept"] == like.details["kept"]
    assert isinstance(error, DataError)
    with pytest.raises(DataError, match="three items"):
        methods.learned(lm, asked, POOL[:2])


TRIGGER = "Let's think step by step."
UNSOLVED = [Item("1 and 1?", "gold"), Item("a cat or a dog?", "gold")]
WORKED = {
    f"Q: 1 and 1?\nA: {TRIGGER}": " It is 2. The answer is 2.",
    f"Q: a cat or a dog?\nA: {TRIGGER}": " Here\nit is a cat. The answer is cat.",
}


class Worked(ScriptedLM):
    """Solves the questions of the pool, and answers 5 to whatever else comes."""

    def _next(self, prompt, begin):
        found = WORKED.get(f"{prompt}{begin}", " Well. The answer is 5.")
        self.prompts.append(f"{prompt}{begin}")
        return found


def test_the_steps_are_the_models_own():
    lm, asked = Worked({}), [Item("2 and 3?", "5"), Item("3 and 3?", "6")]
    records = list(answer_items(lm, methods.self_written, asked, UNSOLVED, k=2))
    assert [(record.value, record.right) for record in records] == [("5", True), ("5", False)]
    # Zero-shot at first, each question alone, without its gold answer; then after both.
    assert set(lm.prompts[:2]) == set(WORKED)
    for prompt, item in zip(lm.prompts[2:], asked, strict=True):
        assert f"Q: 1 and 1?\nA: {TRIGGER} It is 2. The answer is 2.\n\n" in prompt
        assert f"A: {TRIGGER} Here\nit is a cat. The answer is cat.\n\n" in prompt
        assert "gold" not in prompt and prompt.endswith(f"Q: {item.question}\nA:")
    report = records[0].report
    assert (report["clusters"], report["demonstrations"]) == (2, 2) and records[1].report == {}
    written = {report["demonstration 1"], report["demonstration 2"]}
    assert f"1 and 1? {TRIGGER} It is 2." in written


def test_what_is_not_simple_is_left_out():
    def report(**limits):
        (answer,) = methods.self_written(Worked({}), [Item("2 and 3?")], UNSOLVED, **limits)
        return answer.details["report"]

    assert report(k=2, steps=1)["demonstrations"] == 1  # the cat has two lines
    assert report(k=2, words=4)["demonstrations"] == 1  # and five words
    # There are no more questions than two.
    assert report(k=9)["clusters"] == report(k=9)["demonstrations"] == 2


def test_without_a_simple_demonstration_it_is_zero_shot():
    lm = Worked({})
    (answer,) = methods.self_written(lm, [Item("2 and 3?")], UNSOLVED, k=2, words=1)
    assert answer.value == "5" and lm.prompts[-1] == f"Q: 2 and 3?\nA: {TRIGGER}"
    assert answer.details["report"] == {"clusters": 2, "demonstrations": 0}


def test_a_question_that_is_too_long_does_not_end_the_others():
    lm = Worked({}, context=60)
    asked = [Item("long " * 90), Item("2 and 3?")]
    error, answer = methods.self_written(lm, asked, [Item("1 and 1?")], max_tokens=8)
    assert isinstance(error, DataError) and answer.value == "5"
    assert answer.details["report"]["demonstrations"] == 1


def test_sentence_vectors_are_loaded_by_name(monkeypatch):
    def encoder(name):
        assert name == "minilm"
        return lambda texts: np.array([[len(text), 1.0] for text in texts])

    monkeypatch.setattr(methods, "load_sentence_encoder", encoder)
    methods._near.cache_clear()
    # By the length of the question, as an angle: "red apple tart" has 14 characters, too.
    assert shown(methods.nearest, k=1, embed="minilm") in (["red apple tart"], ["wet grey stone"])
    methods._near.cache_clear()


@pytest.mark.parametrize(
    "method", [methods.nearest, methods.diverse, methods.clustered], ids=lambda m: m.__name__
)
def test_what_cannot_be_chosen_is_refused(method):
    lm, name = ScriptedLM([]), method.__name__
    with pytest.raises(ConfigError, match=f"{name}: k=0 must be 1 or more"):
        method(lm, ASKED, POOL, k=0)
    with pytest.raises(ConfigError, match="there are no demonstrations to choose from"):
        method(lm, ASKED, [], embed="words")
    if name != "nearest":
        with pytest.raises(ConfigError, match='embed must be "words"'):
            method(lm, ASKED, POOL, embed="")


def test_counts_have_a_least_value():
    for option in ("k", "candidates", "kept", "epochs"):
        with pytest.raises(ConfigError, match=f"learned: {option}=0 must be 1 or more"):
            methods.learned(ScriptedLM([]), [ASKED], POOL, **{option: 0})
    for option in ("k", "words", "steps"):
        with pytest.raises(ConfigError, match=f"self_written: {option}=0 must be 1 or more"):
            methods.self_written(ScriptedLM([]), [ASKED], POOL, **{option: 0})


def test_defaults():
    for method in (methods.nearest, methods.diverse, methods.clustered, methods.learned):
        parameters = inspect.signature(method).parameters
        assert parameters["k"].default == 4 and parameters["max_tokens"].default == 64
        assert parameters["seed"].default == 0
    parameters = inspect.signature(methods.learned).parameters
    assert [parameters[name].default for name in ("candidates", "kept", "epochs")] == [20, 3, 30]
    parameters = inspect.signature(methods.self_written).parameters
    # Limits of the paper for a simple demonstration.
    assert [parameters[name].default for name in ("k", "words", "steps")] == [4, 60, 5]
    assert parameters["max_tokens"].default == 256 and parameters["seed"].default == 0
    assert inspect.signature(methods.diverse).parameters["trade_off"].default == 0.5

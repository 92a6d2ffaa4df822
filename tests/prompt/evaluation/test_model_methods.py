"""Several models as one method of the command: they are named, opened once, and counted."""

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.ensemble.means import arithmetic_mean, geometric_mean
from tinylm.prompt.ensemble.models import ModelEnsemble
from tinylm.prompt.evaluation import model_methods
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.model_methods import models_average, models_vote, opened_with
from tinylm.prompt.in_context.few_shot import zero_shot

ITEM = Item("Which?")


@pytest.fixture
def opened(monkeypatch):
    """What is opened, by name: replies written by hand, or small models."""
    found, calls = {}, []

    def open_(name, device="cpu", bits=None, **settings):
        calls.append((name, device, settings))
        return found[name]

    monkeypatch.setattr(TextModel, "open", open_)
    model_methods._opened.cache_clear()
    model_methods._average.cache_clear()
    yield found, calls
    model_methods._opened.cache_clear()
    model_methods._average.cache_clear()


def replies(*texts):
    return ScriptedLM([(None, text) for text in texts])


def test_models_vote_and_each_is_opened_once(opened):
    found, calls = opened
    found |= {"one": replies("b", "b"), "two": replies("b", "a")}
    first = replies("a", "a")
    with first.tracing() as trace:
        answer = models_vote(first, ITEM, models="one, two", device="gpu")
        assert answer.value == "b" and answer.details["answers"] == ["a", "b", "b"]
        assert models_vote(first, ITEM, models="one,two", device="gpu").value == "a"
    assert [name for name, *_ in calls] == ["one", "two"]
    assert calls[0][1:] == ("gpu", {"chat": None})
    # All that was sent is counted, and traced, where the command looks.
    assert first.account.calls == 6 and len(trace.calls) == 6
    assert first.account.generated_tokens == 6  # a word each


def test_weights_and_the_method_of_each(opened):
    found, _ = opened
    found["one"], found["two"] = replies("b"), replies("b")
    answer = models_vote(replies("a"), ITEM, models="one,two", weights="3, 1, 1")
    assert answer.value == "a"
    found["steps"] = replies(" So. The answer is x.")
    lm = replies(" Hm. The answer is x.")
    with lm.tracing() as trace:
        answer = models_vote(lm, ITEM, models="steps", method="zero-shot-cot", max_tokens=9)
    assert answer.details["answers"] == ["x", "x"]
    assert [call.begin for call in trace.calls] == [" Let's think step by step."] * 2


def test_what_cannot_vote_is_refused(opened):
    for call in (models_vote, models_average):
        with pytest.raises(ConfigError, match="must name one model or more"):
            call(text_model(), ITEM, models=" , ")
        with pytest.raises(ConfigError, match="few-shot needs demonstrations"):
            call(text_model(), ITEM, models="one", method="few-shot")
        with pytest.raises(ConfigError, match="no prompting method"):
            call(text_model(), ITEM, models="one", method="xxxxxx")
    opened[0]["one"] = text_model(seed=1)
    with pytest.raises(ConfigError, match="model-vote: weights='1,x' must be numbers"):
        models_vote(text_model(), ITEM, models="one", weights="1,x")
    with pytest.raises(ConfigError, match="mean='harmonic' must be one of arithmetic, geometric"):
        models_average(text_model(), ITEM, models="one", mean="harmonic")
    with pytest.raises(ConfigError, match="model-average: it works on distributions"):
        models_average(ScriptedLM([]), ITEM, models="one")


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_the_average_answers_as_the_ensemble_does(opened, mean):
    first, other = text_model(seed=0), text_model(seed=1)
    opened[0]["one"] = other
    wanted = zero_shot(ModelEnsemble([first, other], (1, 3), mean), ITEM, max_tokens=9)
    name = mean.__name__.removesuffix("_mean")
    before = first.account.copy()
    options = {"models": "one", "mean": name, "weights": "1,3", "max_tokens": 9}
    answer = models_average(first, ITEM, **options)
    assert answer.text == wanted.text and answer.value == wanted.value
    spent = first.account.since(before)
    assert spent.calls == 1 and spent.prompt_tokens == 2 * first.length("Q: Which?\nA:")
    # Asked again, nothing is opened or compared anew.
    models_average(first, ITEM, **options)
    assert len(opened[1]) == 1


def test_a_model_continues_texts_where_the_first_does(opened):
    opened[0]["one"] = text_model()

    class Chat(ScriptedLM):
        def __init__(self, template, chat):
            super().__init__([])
            self.opened, self.chat = type("Opened", (), {"template": template}), chat

    for template, chat, wanted in [("t", False, False), ("t", True, None), (None, False, None)]:
        model_methods._opened.cache_clear()
        opened_with(Chat(template, chat), "one")
        assert opened[1][-1] == ("one", "cpu", {"chat": wanted})


def test_both_are_methods_of_the_command():
    for name in ("model-vote", "model-average"):
        assert METHODS[name].needs == ("models",)
        assert METHODS[name].kinds()["models"] is str and METHODS[name].kinds()["method"] is str
        assert METHODS[name].options()["max_tokens"] == 64

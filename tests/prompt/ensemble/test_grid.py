"""Models, prompts and samples in one table."""

import numpy as np
import pytest

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.grid import Grid, grid_vote, run_grid
from tinylm.prompt.ensemble.prompts import SIMPLIFY, prompt_ensemble
from tinylm.prompt.in_context.few_shot import FewShotPrompt

ITEM = Item("Cats sleep.")


def table(rows):
    """A (M, K, S) grid of letters: "aab abb" is one model, two prompts, three samples."""
    cells = [[list(cell) for cell in row.split()] for row in rows]
    return Grid(np.array(cells, dtype=object))


class Recorder(ScriptedLM):
    """Replies letters in order, and keeps how it was called."""

    def __init__(self, letters):
        super().__init__([(None, letter) for letter in letters])
        self.batches = []

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self.batches.append((len(prompts), max_tokens, stop, seed, sampling))
        return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)


def test_every_cell_is_one_call():
    lms = [Recorder("abcdef"), Recorder("ghijkl")]
    grid = run_grid(lms, ITEM, prompts=SIMPLIFY[:2], samples=3, seed=4, max_tokens=9)
    assert grid.values.shape == (2, 2, 3)
    assert "".join(grid.values.ravel()) == "abcdefghijkl"  # model, prompt, sample
    assert [lm.account.calls for lm in lms] == [6, 6]
    assert lms[0].batches == [(3, 9, ("\n\n",), 4, {"temperature": 1.0})] * 2
    prompts = [form.prompt(ITEM) for form in SIMPLIFY[:2]]
    assert lms[1].prompts == [prompts[0]] * 3 + [prompts[1]] * 3


def test_one_sample_is_the_most_probable_output():
    lm = Recorder("abc")
    run_grid([lm], ITEM, prompts=SIMPLIFY)
    assert [batch[-1] for batch in lm.batches] == [{"temperature": 0.0}] * 3
    lm = Recorder("ab")
    run_grid([lm], ITEM, prompts=SIMPLIFY[:1], samples=2, temperature=0.5)
    assert lm.batches[0][-1] == {"temperature": 0.5}


def test_cells_vote_by_the_number_where_one_is_wanted():
    lm = ["8", "It is 7.", "3 + 4 = 7"]
    item = Item("?", "7")
    for nested in (False, True):
        answer = grid_vote([Recorder(lm)], item, prompts=SIMPLIFY[:1], samples=3, nested=nested)
        assert answer.value == "3 + 4 = 7"
    assert answer.details["shares"] == {"3 + 4 = 7": 2 / 3, "8": 1 / 3}


def test_each_pure_ensemble_is_a_table_with_one_long_axis():
    for rows in (["a", "b", "b"], ["a b b"], ["abb"]):
        grid = table(rows)
        assert sorted(grid.values.shape) == [1, 1, 3]
        assert grid.vote() == vote(["a", "b", "b"])
        assert grid.nested_vote() == "b"
    prompts = Recorder("abb")
    pure = prompt_ensemble(Recorder("abb"), ITEM, prompts=SIMPLIFY)
    assert grid_vote([prompts], ITEM, prompts=SIMPLIFY).value == pure.value == "b"


def test_a_flat_and_a_nested_vote_may_differ():
    # a wins 5 of 9 cells, but only one of three prompts.
    grid = table(["aaa abb abb"])
    assert grid.vote().value == "a" and grid.vote().confidence == 5 / 9
    assert grid.nested_vote() == "b"


def test_the_order_of_the_axes_matters():
    # Samples first: a, b, b. Prompts first: samples a|a|b over prompts (a,b,b) (a,b,b) (a,a,a).
    grid = table(["aaa bba bba"])
    assert grid.nested_vote(("samples", "prompts", "models")) == "b"
    columns = table(["aab bab bba"])  # each sample column: a b b, a a b, b b a
    assert columns.nested_vote(("prompts", "samples", "models")) == "b"
    grid = table(["ab ab aa", "bb bb aa"])
    assert grid.nested_vote(("models", "prompts", "samples")) == "a"
    with pytest.raises(ConfigError, match="must name each of models, prompts, samples once"):
        grid.nested_vote(("models", "prompts"))
    with pytest.raises(ConfigError, match="once"):
        grid.nested_vote(("models", "prompts", "prompts"))


def test_nested_votes_by_hand_in_every_order():
    values = np.array([[["x", "y"], ["y", "y"]], [["x", "x"], ["x", "y"]]], dtype=object)
    grid = Grid(values)

    def winner(row):
        return vote(list(row)).value

    for order in (("samples", "prompts", "models"), ("models", "samples", "prompts")):
        axes = ["models", "prompts", "samples"]
        left = values
        for name in order:
            left = np.apply_along_axis(winner, axes.index(name), left)
            axes.remove(name)
        assert grid.nested_vote(order) == left


def test_answers_that_could_not_be_read():
    grid = Grid(np.array([[["a", None]], [[None, None]]], dtype=object))
    assert grid.vote().shares == {"a": 0.25}
    assert grid.nested_vote() == "a"  # the second model abstains
    assert Grid(np.full((2, 1, 2), None)).nested_vote() is None


def test_models_may_have_weights():
    grid = table(["ab", "bb"])
    assert grid.vote().value == "b"
    assert grid.vote([9, 1]).shares == {"b": 11 / 20, "a": 9 / 20}  # 9 + 1 + 1 of 20
    assert table(["aa", "bb"]).vote([1, 2]).value == "b"


def test_the_method():
    letters = "aaaabbabb"
    flat = grid_vote([Recorder(letters)], ITEM, prompts=SIMPLIFY, samples=3)
    nested = grid_vote([Recorder(letters)], ITEM, prompts=SIMPLIFY, samples=3, nested=True)
    assert (flat.value, nested.value) == ("a", "b")
    assert flat.details["shares"] == {"a": 5 / 9, "b": 4 / 9}
    assert flat.details["values"] == [[["a", "a", "a"], ["a", "b", "b"], ["a", "b", "b"]]]
    assert grid_vote([Recorder([" "])], ITEM, prompts=SIMPLIFY[:1]).text == ""


def test_what_was_read_is_traced():
    lm = Recorder("ab")
    with lm.tracing() as trace:
        run_grid([lm], ITEM, prompts=SIMPLIFY[:2])
    assert [call.parsed for call in trace.calls] == [[("answers", ["a"])], [("answers", ["b"])]]


def test_an_empty_axis_is_refused():
    for options in ({"lms": []}, {"prompts": []}, {"samples": 0}):
        arguments = {"lms": [None], "item": ITEM, **options}
        with pytest.raises(ConfigError, match="each must be 1 or more"):
            run_grid(**arguments)


def test_the_same_sample_of_every_prompt_has_the_same_seed():
    lm = text_model()
    grid = run_grid([lm, lm], ITEM, prompts=SIMPLIFY[:1], samples=2, max_tokens=4, seed=3)
    assert grid.values[0].tolist() == grid.values[1].tolist()


def test_a_table_with_three_long_axes():
    rng = np.random.default_rng(0)
    values = rng.choice(np.array(["x", "y", "z"], object), size=(2, 3, 4))
    winners = [[vote(list(cell)).value for cell in model] for model in values]
    by_model = [vote(prompts).value for prompts in winners]
    assert Grid(values).nested_vote() == vote(by_model).value
    assert Grid(values).vote() == vote(values.ravel().tolist())


def test_a_turn_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply, demo = "Cats rest.\n\nOften.", Item("Dogs run.", "Dogs are fast.")

    def values(kind, demonstrations=()):
        lms = [kind([(None, reply)] * 2)]
        return run_grid(lms, ITEM, demonstrations, prompts=(SIMPLIFY[0], FewShotPrompt())).values

    assert values(Chat).ravel().tolist() == [reply] * 2
    assert values(Chat, [demo]).ravel().tolist() == ["Cats rest."] * 2
    assert values(ScriptedLM).ravel().tolist() == ["Cats rest."] * 2

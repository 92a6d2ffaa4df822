"""Different prompts for one task, and what their difference is worth."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.ensemble.sampler import Sampler
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.diversity import (
    Ambiguity,
    ambiguity,
    disagreement,
    generate_demonstrations,
    permute_demonstrations,
    translations,
    vary_demonstrations,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt

POOL = [Item(f"q{n}", f"a{n}") for n in range(12)]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_all_choices_of_demonstrations():
    found = vary_demonstrations(POOL[:4], 2, 6, rng())
    assert set(found) == set(itertools.combinations(POOL[:4], 2))


def test_choices_are_different_and_in_the_order_of_the_pool():
    found = vary_demonstrations(POOL, 3, 20, rng())
    assert len(set(found)) == 20
    for demos in found:
        numbers = [POOL.index(demo) for demo in demos]
        assert numbers == sorted(set(numbers)) and len(numbers) == 3
    assert vary_demonstrations(POOL, 0, 1, rng()) == [()]


def test_every_choice_is_as_likely():
    generator, counts = rng(), {}
    for _ in range(3000):
        (demos,) = vary_demonstrations(POOL[:3], 2, 1, generator)
        counts[demos] = counts.get(demos, 0) + 1
    assert len(counts) == 3 and all(abs(n - 1000) < 120 for n in counts.values())


def test_all_orders_of_a_few_demonstrations():
    found = permute_demonstrations(POOL[:3], 6, rng())
    assert set(found) == set(itertools.permutations(POOL[:3]))
    assert permute_demonstrations([], 1, rng()) == [()]


def test_some_orders_of_many_demonstrations():
    # 12! orders are not listed.
    found = permute_demonstrations(POOL, 30, rng())
    assert len(set(found)) == 30 and all(set(order) == set(POOL) for order in found)
    found = vary_demonstrations(POOL * 2, 8, 30, rng())  # C(24, 8) choices
    assert len(found) == 30 and all(len(demos) == 8 for demos in found)


def test_the_seed_decides():
    for make in (
        lambda r: permute_demonstrations(POOL, 3, r),
        lambda r: vary_demonstrations(POOL, 2, 3, r),
    ):
        assert make(rng(1)) == make(rng(1)) != make(rng(2))


def test_more_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="3 choices of 2 from 3 demonstrations, and 4 are"):
        vary_demonstrations(POOL[:3], 2, 4, rng())
    with pytest.raises(ConfigError, match="0 choices of 4"):
        vary_demonstrations(POOL[:3], 4, 1, rng())
    with pytest.raises(ConfigError, match="and 0 are wanted"):
        vary_demonstrations(POOL[:3], 2, 0, rng())
    with pytest.raises(ConfigError, match="-1"):
        vary_demonstrations(POOL[:3], -1, 1, rng())
    with pytest.raises(ConfigError, match="3 demonstrations have 6 orders, and 7 are wanted"):
        permute_demonstrations(POOL[:3], 7, rng())
    with pytest.raises(ConfigError, match="and 0 are wanted"):
        permute_demonstrations(POOL[:3], 0, rng())


def test_the_model_writes_demonstrations():
    lm = Sampler([" q5?\nA: five", " q0\nA: known", " no answer", "\nA: no question", " q6?\nA: "])
    with lm.tracing() as trace:
        found = generate_demonstrations(lm, POOL[:2], 5, seed=2, max_tokens=40)
    assert found == [Item("q5?", "five")]
    prompts, max_tokens, stop, seed, sampling = lm.seen[0]
    assert prompts == ["Q: q0\nA: a0\n\nQ: q1\nA: a1\n\nQ:"] * 5
    assert (max_tokens, stop, seed, sampling) == (40, ("\n\n",), 2, {"temperature": 1.0})
    assert trace.calls[-1].parsed == [("demonstrations", found)]


def test_written_demonstrations_are_different():
    lm = Sampler([" same\nA: 1", " same\nA: 2", " other\nA: 3"])
    form = FewShotPrompt(question_name="In", answer_name="A")
    found = generate_demonstrations(lm, [], 3, prompt=form, temperature=0.5)
    assert [demo.question for demo in found] == ["same", "other"]
    assert lm.seen[0][0][0] == "In:" and lm.seen[0][-1] == {"temperature": 0.5}
    for names in ({"question_name": ""}, {"answer_name": ""}):
        with pytest.raises(ConfigError, match="names for both fields, or for neither"):
            generate_demonstrations(lm, [], 1, prompt=FewShotPrompt(**names))


def test_lines_without_names_are_written_and_read_too():
    lm = Sampler(["c>3", "no mark", "a>1", ">4"])
    form = FewShotPrompt(question_name="", answer_name="", between=">", separator="\n")
    found = generate_demonstrations(lm, [Item("a", "1"), Item("b", "2")], 4, prompt=form)
    assert found == [Item("c", "3")]
    # The text ends where the next line begins.
    assert lm.seen[0][0] == ["a>1\nb>2\n"] * 4 and lm.seen[0][2] == ("\n",)


def test_a_prompt_in_other_languages():
    start = "Translate the following text from English to"
    lm = ScriptedLM(
        [
            (f"{start} German.\nSum up.\nGerman:", " Fasse zusammen.\n\nmore"),
            (f"{start} French.\nSum up.\nFrench:", " Résume."),
        ]
    )
    found = translations(lm, "Sum up.", ["German", "French"])
    assert found == {"English": "Sum up.", "German": "Fasse zusammen.", "French": "Résume."}
    with pytest.raises(DataError, match="the model's German translation is empty"):
        translations(ScriptedLM([(None, " ")]), "Sum up.", ["German"])
    model = text_model()
    greedy = model.complete(f"{start} French.\nAdd.\n", begin="French:", max_tokens=3, stop="\n\n")
    assert translations(model, "Add.", ["French"], max_tokens=3)["French"] == greedy.text.strip()


# Error and ambiguity.


def test_the_identity_by_hand():
    # Members 0 and 4, target 1: mean (1 + 9) / 2, average 2 with error 1, diversity (4 + 4) / 2.
    assert ambiguity([[0.0], [4.0]], [1.0]) == Ambiguity(1.0, 5.0, 4.0)
    assert ambiguity([[0.0], [4.0]], [1.0], np.array([0.75, 0.25])) == Ambiguity(0.0, 3.0, 3.0)


@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 4))
def test_error_of_the_ensemble_is_mean_error_less_diversity(seed, K, N):
    generator = rng(seed)
    predictions, targets = generator.normal(size=(K, N)), generator.normal(size=N)
    for weights in (None, generator.dirichlet(np.ones(K))):
        found = ambiguity(predictions, targets, weights)
        assert found.ensemble == pytest.approx(found.mean - found.diversity, abs=1e-12)
        assert found.diversity >= 0


def test_equal_members_have_no_diversity():
    found = ambiguity([[1.0, 2.0]] * 3, [0.0, 0.0])
    assert (found.ensemble, found.diversity) == (2.5, 0.0)


def test_shapes_are_checked():
    for predictions, targets in (([1.0], [1.0]), ([[1.0]], [1.0, 2.0])):
        with pytest.raises(ShapeError, match=r"they are \(K, N\) and \(N,\)"):
            ambiguity(predictions, targets)


def test_disagreement_is_the_share_of_different_pairs():
    # Pairs 12, 13, 23; two questions: 0 of 3 and 2 of 3 differ.
    assert disagreement([["a", "x"], ["a", "x"], ["a", "y"]]) == pytest.approx(2 / 6)
    assert disagreement([["a"], ["a"]]) == 0
    for answers in ([["a"]], [["a"], ["a", "b"]], [[], []]):
        with pytest.raises(ShapeError, match="two or more members"):
            disagreement(answers)

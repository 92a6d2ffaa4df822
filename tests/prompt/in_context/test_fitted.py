"""Every method that shows demonstrations drops the first of them where the context is too short."""

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.decompose.multi_hop import multi_hop
from tinylm.prompt.decompose.recursive import recursive_prompting
from tinylm.prompt.decompose.successive import successive_prompting
from tinylm.prompt.ensemble.bayes_risk import least_risk
from tinylm.prompt.ensemble.grid import grid_vote
from tinylm.prompt.ensemble.marginal import marginal_answer
from tinylm.prompt.ensemble.outputs import best_of_n
from tinylm.prompt.ensemble.prompts import prompt_ensemble
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.ensemble.tokens import token_ensemble
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.calibration import batch_calibration, contextual_calibration
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.fitted import fit_context, fit_options, fitted
from tinylm.prompt.in_context.structured import StructuredPrompt
from tinylm.prompt.rag.answer import retrieval_answer
from tinylm.prompt.rag.prompt import RagPrompt
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought
from tinylm.prompt.reasoning.error_injection import go_on
from tinylm.prompt.reasoning.thoughts import tree_of_thoughts
from tinylm.prompt.refine.aspects import refine_aspects
from tinylm.prompt.refine.deliberate import deliberate, deliberate_negative
from tinylm.prompt.refine.self_refine import self_refine
from tinylm.prompt.tasks import classification, multiple_choice
from tinylm.prompt.tasks.code_completion import write_function
from tinylm.prompt.tasks.demonstrated import fit_demonstrated
from tinylm.prompt.tasks.extraction import extract, extract_names
from tinylm.prompt.tasks.questions import answer_word_problem
from tinylm.prompt.tasks.transformation import summarize, translate
from tinylm.prompt.tools.answer import tool_answer

DEMOS = [Item(f"{word} ok?", "aa", ("aa", "bb"), rationale="so.") for word in ("one", "two", "six")]
OPEN = [Item(demo.question, demo.answer, rationale=demo.rationale) for demo in DEMOS]
CHOICE, ASKED = Item("it ok?", options=("aa", "bb")), Item("it ok?")


def words(kept):
    return " ".join([*kept, "query"])


def test_as_many_are_kept_as_the_budget_holds_the_last_ones_first():
    demos = ["a", "b", "c"]
    for budget, kept in [(4, "abc"), (3, "bc"), (2, "c"), (1, ""), (None, "abc"), (9, "abc")]:
        found = fitted(words, demos, lambda text: len(text.split()), budget)
        assert "".join(found.kept) == kept and "".join(found.dropped) == "abc"[: 3 - len(kept)]
        assert found.text == words(kept) and found.tokens == len(kept) + 1
        assert found.details == {"kept": found.kept, "dropped": found.dropped}
    with pytest.raises(DataError, match="question alone have 1 tokens, and 0 are allowed"):
        fitted(words, demos, lambda text: len(text.split()), 0)


def test_an_answer_has_its_room_but_no_more_than_half_of_the_context():
    lm, demos = ScriptedLM([], context=8), ["a", "b", "c", "d", "e"]
    for answer, kept in [(2, "abcde"), (3, "bcde"), (4, "cde"), (5, "cde"), (99, "cde")]:
        assert "".join(fit_context(lm, words, demos, answer).kept) == kept
    # What the reply begins with takes room, too.
    assert fit_context(lm, words, demos, 2, " So then").kept == tuple("cde")
    # Of texts that are scored, the longest counts whole.
    assert fit_options(lm, words, demos, ["x", "x y z w v u"]).kept == ("e",)
    assert fit_options(lm, words, demos, ["x y", "x"], " So").kept == tuple("bcde")
    with pytest.raises(DataError, match="have 1 tokens, and 0 are allowed"):
        fit_options(lm, words, demos, ["x " * 9])
    assert fit_context(ScriptedLM([]), words, demos, 99).kept == tuple("abcde")


def grid_vote_of_one(lm, *args, **options):
    return grid_vote([lm], *args, **options)


FORMS = (FewShotPrompt(), FewShotPrompt(question_name="R"))  # of one length
METHODS = [
    (few_shot, CHOICE, {}),
    (few_shot, ASKED, {}),
    (contextual_calibration, CHOICE, {}),
    (chain_of_thought, ASKED, {}),
    (self_consistency, ASKED, {"samples": 2}),
    (best_of_n, ASKED, {"n": 2}),
    (prompt_ensemble, CHOICE, {"prompts": FORMS}),
    (prompt_ensemble, ASKED, {"prompts": FORMS}),
    (token_ensemble, ASKED, {"prompts": FORMS}),
    (marginal_answer, CHOICE, {"prompts": FORMS}),
    (least_risk, ASKED, {"samples": 2}),
    (multiple_choice.choose_by_letter, CHOICE, {}),
    (multiple_choice.choose_by_option, CHOICE, {}),
    (multiple_choice.choose_by_cloze, CHOICE, {}),
    (multiple_choice.choose_generated, CHOICE, {}),
    (classification.classify_by_scores, CHOICE, {"normalization": "unconditional"}),
    (classification.classify_generated, CHOICE, {}),
    (classification.classify_by_cloze, CHOICE, {}),
    (answer_word_problem, ASKED, {}),
    (translate, ASKED, {}),
    (summarize, ASKED, {"tries": 1}),
    (extract, ASKED, {"task": "look"}),
    (extract_names, ASKED, {}),
    (write_function, ASKED, {"name": "f"}),
    (lambda lm, item, demos, **o: go_on(lm, item, ["so"], demos, **o), ASKED, {}),
    (grid_vote_of_one, ASKED, {"samples": 2, "prompts": FORMS}),
    (self_refine, ASKED, {"max_iter": 0}),
    (refine_aspects, ASKED, {}),
    (deliberate, ASKED, {}),
    (deliberate_negative, ASKED, {"corpus": ["bb"]}),
    (tool_answer, ASKED, {}),
]


@pytest.mark.parametrize("method, item, options", METHODS)
def test_a_method_drops_the_first_demonstrations_and_states_it(method, item, options):
    demos = OPEN
    if item.options:
        demos = DEMOS
    # A context in which the prompt, read whole, has its last demonstration alone.
    whole = text_model(context=900)
    with whole.tracing() as trace:
        method(whole, item, demos[2:], seed=1, max_tokens=3, **options)
    longest = max(whole.length(call.prompt, call.begin) for call in trace.calls)
    lm = text_model(context=longest + 12)
    with lm.tracing() as trace:
        answer = method(lm, item, demos, seed=1, max_tokens=3, **options)
    assert answer.details["dropped"] == tuple(demos[:2])
    prompts = [call.prompt for call in trace.calls if "it ok?" in call.prompt]
    assert all("one ok?" not in prompt and "two ok?" not in prompt for prompt in prompts)
    assert any("six ok?" in prompt for prompt in prompts)
    assert answer.details.get("kept", tuple(demos[2:])) == tuple(demos[2:])


def test_a_prior_is_that_after_the_demonstrations_that_are_kept():
    lm = text_model(context=64)
    short = Item("a?", options=CHOICE.options)
    for answer in (
        contextual_calibration(lm, CHOICE, DEMOS),
        *batch_calibration(lm, [short, CHOICE], DEMOS),
    ):
        kept = answer.details["kept"]
        assert 0 < len(kept) < 3
    found = contextual_calibration(lm, CHOICE, kept)
    same = contextual_calibration(lm, CHOICE, DEMOS)
    assert same.details["prior"] == pytest.approx(found.details["prior"], rel=1e-9)
    # An input without content may be longer than the question, and must fit too.
    answer = contextual_calibration(lm, CHOICE, DEMOS, inputs=["N/A" * 12])
    assert len(answer.details["kept"]) < len(kept)


@pytest.mark.parametrize(
    "method, options",
    [(successive_prompting, {"most": 1}), (recursive_prompting, {}), (multi_hop, {"most": 1})],
)
def test_prompts_without_demonstrations_do_not_count(method, options):
    # Two calls of such a method plan, and show none: here they are the longest.
    long = [Item(f"{demo.question} {'x' * 700}", "aa") for demo in OPEN]
    lm = text_model(context=1300)
    with lm.tracing() as trace:
        answer = method(lm, Item("it ok?", context="It is."), long, max_tokens=3, **options)
    assert answer.details["dropped"] == tuple(long[:2])
    shown = [sum(demo.question in call.prompt for demo in long) for call in trace.calls]
    assert set(shown) == {0, 1}


def test_a_solver_of_sub_problems_drops_what_its_longest_prompt_has_no_room_for():
    lm = ScriptedLM([(None, 'we need to know: "a b c d e f?"'), (None, "x"), (None, "y")])
    lm.context = 40
    answer = least_to_most(lm, ASKED, OPEN, decompositions=(), max_tokens=12)
    kept = [sum(f"Q: {demo.question}" in prompt for demo in OPEN) for prompt in lm.prompts[1:]]
    # The pair of the first call stands in the second, and takes the room of demonstrations.
    assert kept == [3, 2] and answer.details["dropped"] == tuple(OPEN[:1]) and lm.finished


def test_retrieved_texts_and_demonstrations_share_the_room():
    form, lm = RagPrompt(), ScriptedLM([])
    texts, demos = ["one two three", "four"], [Item("a a a?", "b"), Item("c?", "d")]
    whole = lm.count(form.prompt("q?", texts, demos))
    for budget, left_out, kept in [
        (whole, 0, (0, 1)),
        (whole - 1, 0, (0,)),  # a further text goes before a demonstration
        (lm.count(form.prompt("q?", texts[:1], demos)), 0, (0,)),
        (lm.count(form.prompt("q?", texts[:1], demos)) - 1, 1, (0, 1)),  # and that before the best
        (lm.count(form.prompt("q?", texts[:1])), 2, (0,)),
    ]:
        found = form.fit("q?", texts, lm.count, budget, demos)
        assert (found.left_out, found.kept) == (tuple(demos[:left_out]), kept)
        assert found.prompt == form.prompt("q?", [texts[i] for i in kept], demos[left_out:])
    # A text that does not fit alone needs 8 words; demonstrations keep what is beside them.
    long = [" ".join(["word"] * 99)]
    around = lm.count(form.prompt("q?", ["word"], demos))
    assert len(form.fit("q?", long, lm.count, around + 7, demos).texts[0].split()) == 8
    assert form.fit("q?", long, lm.count, around + 7, demos).left_out == ()
    assert form.fit("q?", long, lm.count, around + 6, demos).left_out == tuple(demos[:1])
    item = Item("two?", context="one two three")
    lm = ScriptedLM([(None, "x")], context=lm.count(form.prompt("q?", texts[:1], demos)) + 1)
    (record,) = answer_items(lm, retrieval_answer, [item], demos, max_tokens=2)
    assert record.dropped == 1


def test_a_structured_prompt_is_fitted_too():
    lm = ScriptedLM([], context=9)
    prompt = StructuredPrompt("Do.", (Item("x", "y"), Item("z", "w")), Item("q"))
    found = prompt.fitted(lm, 1)
    assert found.text == "Do.\n\nQ: z\nA: w\n\nQ: q\nA:" and found.dropped == (Item("x", "y"),)
    assert prompt.fitted(ScriptedLM([]), 1).text == prompt.text


def test_lines_of_a_tree_have_their_room():
    long = [Item(f"{demo.question} {'x' * 200}", "aa", rationale="so.") for demo in OPEN]
    options = {"width": 1, "branches": 1, "max_tokens": 9}
    for depth, dropped in [(1, 0), (12, 1)]:
        answer = tree_of_thoughts(text_model(context=760), ASKED, long, depth=depth, **options)
        assert answer.details["dropped"] == tuple(long[:dropped])


def test_models_of_a_grid_have_room_of_their_own():
    lms = [text_model(context=48), text_model(context=900)]
    traces = []
    for lm in lms:
        with lm.tracing() as trace:
            grid_vote([lm], ASKED, OPEN, prompts=[FewShotPrompt()], max_tokens=3)
        traces.append(trace.calls[0].prompt)
    assert "one ok?" not in traces[0] and "one ok?" in traces[1]


def test_a_template_is_fitted_with_the_slot_of_the_question():
    template = PromptTemplate("Say: {*words*}")
    lm = ScriptedLM([], context=9)
    found = fit_demonstrated(lm, template, Item("q"), [Item("x", "y"), Item("z", "w")], 2, "words")
    assert found.text == "Say: z\nw\n\nSay: q\n" and found.dropped == (Item("x", "y"),)

"""The four steps of a reply are read back, and a reply that did not follow them is reported."""

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template import STEPS, STEPWISE_MATH, read_steps, solve_stepwise

PROBLEM = "A box has 4 rows of 6 eggs. How many eggs are in 2 boxes?"
REPLY = (
    "Let me begin.\n"
    "Step 1: Problem Interpretation\nThere are 2 boxes of 4 rows.\n\n"
    "Step 2: Strategy Formulation\nMultiply.\n"
    "Step 3: Detailed Calculation\n4 x 6 = 24\n2 x 24 = 48\n"
    "Step 4: Solution Review\n24 and 24 are 48."
)


def test_the_prompt_names_the_steps_in_order_before_the_problem():
    prompt = STEPWISE_MATH.format(problem=PROBLEM)
    assert prompt.startswith(
        "You are a mathematician. You will follow these detailed reasoning steps when solving math "
        "problems.\nStep 1: Problem Interpretation.\n"
    )
    places = [prompt.index(f"Step {i + 1}: {name}.\n") for i, name in enumerate(STEPS)]
    assert len(STEPS) == 4 and places == sorted(places)
    for words in (
        "listens carefully to the problem and understands its details",
        "chooses the most effective strategy, such as algebra, calculus, or geometry",
        "step by step and adheres to all mathematical principles",
        "checks the calculations and offers a concise rationale",
    ):
        assert words in prompt
    assert prompt.endswith(
        "You will be provided with a math problem. Please solve the problem.\n" + PROBLEM
    )


def test_a_reply_is_split_into_its_four_steps():
    read = read_steps(REPLY)
    assert read.steps == [
        ("Problem Interpretation", "There are 2 boxes of 4 rows."),
        ("Strategy Formulation", "Multiply."),
        ("Detailed Calculation", "4 x 6 = 24\n2 x 24 = 48"),
        ("Solution Review", "24 and 24 are 48."),
    ]
    assert read.followed and read.before == "Let me begin."
    assert read.text("Strategy Formulation") == "Multiply."


@pytest.mark.parametrize(
    "heading",
    [
        "Step 2: Strategy Formulation:",
        "step 2. strategy formulation",
        "**Step 2: Strategy Formulation**",
        "### Step 2 - Strategy Formulation",
        "Step 2:",
        "Step 2",
        "Strategy Formulation",
        "**Strategy Formulation:**",
        "  Step  2) Strategy Formulation.",
    ],
)
def test_headings_are_known_by_number_or_name(heading):
    read = read_steps(REPLY.replace("Step 2: Strategy Formulation", heading))
    assert read.followed
    assert read.text("Strategy Formulation") == "Multiply."


def test_text_may_follow_a_heading_on_its_line():
    reply = "Step 1: Known.\nStep 2: Strategy Formulation: add.\nStep 3: 1 + 1\nSolution Review. 2"
    read = read_steps(reply)
    assert [text for _, text in read.steps] == ["Known.", "add.", "1 + 1", "2"] and read.followed


def test_a_parenthesis_or_a_dash_ends_a_number():
    read = read_steps("Step 1) Read the problem.\nStep 2 — add\nStep 3) 1 + 1\nStep 4) 2")
    assert read.followed
    assert [text for _, text in read.steps] == ["Read the problem.", "add", "1 + 1", "2"]


def test_a_missing_step_is_reported():
    read = read_steps(REPLY.replace("Step 3: Detailed Calculation\n", ""))
    assert read.missing == ("Detailed Calculation",) and not read.followed and read.ordered
    assert read.text("Detailed Calculation") is None
    assert read.text("Strategy Formulation") == "Multiply.\n4 x 6 = 24\n2 x 24 = 48"
    nothing = read_steps("48")
    assert nothing.missing == STEPS and nothing.steps == [] and nothing.before == "48"
    assert read_steps("").missing == STEPS


def test_steps_in_another_order_are_reported():
    reply = "Step 1: a\nStep 3: c\nStep 2: b\nStep 4: d"
    read = read_steps(reply)
    assert not read.ordered and not read.missing and not read.followed
    assert [name for name, _ in read.steps] == [STEPS[0], STEPS[2], STEPS[1], STEPS[3]]


def test_a_repeated_step_is_reported_and_has_no_text():
    read = read_steps(REPLY + "\nStep 4: Solution Review\nOr 49?")
    assert read.repeated == ("Solution Review",) and read.ordered and not read.followed
    assert read.text("Solution Review") is None


def test_a_number_and_a_name_that_disagree_are_no_heading():
    read = read_steps(REPLY.replace("Step 3: Detailed", "Step 2: Detailed"))
    assert read.missing == ("Detailed Calculation",)
    assert "Step 2: Detailed Calculation" in read.text("Strategy Formulation")
    for line in (
        "Step 5: more",
        "Step 0: less",
        "Step 10",
        "Solution Review shows it",
        "Step 4 shows",
    ):
        assert read_steps(line).steps == []
    assert read_steps("Step 2: x", names=("A", "B")).steps == [("B", "x")]


def test_the_answer_is_the_last_number_of_the_review():
    item = Item(PROBLEM, "48")
    prompt = STEPWISE_MATH.format(problem=PROBLEM)
    lm = ScriptedLM([(prompt, REPLY)])
    with lm.tracing() as trace:
        answer = solve_stepwise(lm, item)
    assert answer.value == "48" and answer.details["steps"] == read_steps(REPLY)
    assert trace.calls[0].parsed == [("answer", "48")]
    # A number elsewhere is no answer, nor is any if a step is missing.
    for reply in (REPLY.replace("24 and 24 are 48", "Right"), REPLY.replace("Step 1", "Step 9")):
        assert solve_stepwise(ScriptedLM([(prompt, reply)]), item).value is None

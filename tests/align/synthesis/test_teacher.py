"""Answers of a teacher as samples."""

from tests.prompt.small import text_model
from tinylm.align.synthesis.tasks import task_samples
from tinylm.align.synthesis.teacher import generate_responses
from tinylm.data.read.instructions import Instruction
from tinylm.prompt import ScriptedLM

GOLD = task_samples(["sort", "add"], 4)
OPEN = [Instruction(one.instruction, "", one.input, task=one.task) for one in GOLD]


def test_a_perfect_teacher_gives_the_gold_set():
    teacher = ScriptedLM({one.user: f" {one.output}\n" for one in GOLD})
    samples, dropped = generate_responses(teacher, OPEN)
    assert samples == GOLD and not dropped


def test_questions_without_an_answer_are_dropped_and_counted():
    teacher = ScriptedLM([(None, "yes"), (None, "  "), (None, "no")])
    samples, dropped = generate_responses(teacher, OPEN[:3])
    assert [one.output for one in samples] == ["yes", "no"]
    assert dropped == {"empty answer": 1}
    assert [one.input for one in samples] == [OPEN[0].input, OPEN[2].input]


def test_prompt_filters_and_sampling_are_a_choice():
    teacher = ScriptedLM([("Q: a", "yes. more"), ("Q: b", "never")])

    def long(sample):
        if len(sample.output) > 3:
            return "long"
        return None

    samples, dropped = generate_responses(
        teacher,
        [Instruction("a", ""), Instruction("b", "")],
        prompt=lambda sample: f"Q: {sample.instruction}",
        complaints=[long],
        stop=".",
    )
    assert [one.output for one in samples] == ["yes"] and dropped == {"long": 1}


def test_samples_of_a_model_depend_on_the_seed():
    questions = [Instruction(f"{k}?", "") for k in range(3)]

    def outputs(seed, **options):
        found = generate_responses(
            text_model(), questions, seed=seed, max_tokens=8, complaints=(), **options
        )
        return [one.output for one in found[0]]

    assert outputs(0) == outputs(1)  # the most probable answer
    assert outputs(0, temperature=1.0) != outputs(5, temperature=1.0)
    assert outputs(5, temperature=1.0) == outputs(5, temperature=1.0)
    greedy = text_model().complete_batch(["0?", "1?", "2?"], max_tokens=8)
    assert outputs(0) == [reply.text.strip() for reply in greedy]

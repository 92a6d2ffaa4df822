"""The library's prompts are those that the book prints, with slots for what it works on."""

import pytest

from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.template import EXTRACTIONS, LIBRARY, ROLES
from tinylm.prompt.template.constraints import max_words, must_mention, unmet

POLARITY = (
    "Analyze the polarity of the following text and classify it as positive, negative, or neutral."
)
TEXT = "We waited an hour for the tram, which was a little annoying."
PROBLEM = "A box has 4 rows of 6 eggs. How many eggs are in 2 boxes?"
MATH = f"You will be provided with a math problem. Please solve the problem.\n{PROBLEM}"
PROVIDED = (
    "You are an expert who can generate answers to input queries. You have now been provided with "
    "a query and the corresponding context information"
)
WORDS = (
    "Note that you need to provide the answer in your own words, not just copy from the context "
    "provided."
)


@pytest.mark.parametrize(
    "name, values, prompt",
    [
        (
            "translate",
            {"source": "English", "target": "Chinese", "text": "Slow and steady wins the race."},
            "Translate the text from English to Chinese.\nText: Slow and steady wins the race.\n"
            "Translation:",
        ),
        ("weekend", {}, "Please give me some suggestions for a fun weekend."),
        (
            "weekend.if",
            {"premise": "the weather is nice this weekend"},
            "If the weather is nice this weekend, what are your suggestions for a fun weekend?",
        ),
        (
            "similarity",
            {"sentence1": "It rains.", "sentence2": "It is wet."},
            "Here is a sentence\nIt rains.\nHere is another sentence\nIt is wet.\n"
            "Compute the semantic similarity between the two sentences",
        ),
        ("question", {"question": "Why?"}, "Q: Why?\nA:"),
        (
            "explain.child",
            {"field": "computer-related", "concept": "a queue"},
            "Please explain the following computer-related concept to a child around 10 years old, "
            "using simple examples whenever possible.\na queue",
        ),
        ("topic", {"topic": "soil erosion"}, "Tell me about soil erosion."),
        (
            "topic.specific",
            {"topic": "soil erosion", "aspects": "harvests, rivers, and landslides"},
            "Provide a detailed explanation of the causes and effects of soil erosion, including "
            "the impact on harvests, rivers, and landslides. Also, discuss possible solutions and "
            "actions to mitigate these effects.",
        ),
        (
            "topic.audience",
            {
                "topic": "soil erosion",
                "audience": "a 10-year-old child",
                "aspects": "harvests and rivers",
                "limit": "500",
            },
            "Explain the causes and effects of soil erosion to a 10-year-old child. Talk about how "
            "it affects harvests and rivers. Also, mention some things people are doing to help. "
            "Try to explain in simple terms and do not exceed 500 words.",
        ),
        ("math", {"problem": PROBLEM}, MATH),
        ("math.role", {"problem": PROBLEM}, f"You are a mathematician. {MATH}"),
        (
            "math.judge",
            {"problem": PROBLEM, "solution": "24"},
            "You will be provided with a math problem, along with a solution. Evaluate the "
            "correctness of this solution, and identify any errors if present. Then, work out your "
            f"own solution.\nProblem: {PROBLEM}\nSolution: 24",
        ),
        (
            "context",
            {"IR_result": "Cork is light.", "query": "Is cork heavy?"},
            f"{PROVIDED}. Please generate an answer based on this context information. {WORDS}\n"
            "Context information: Cork is light.\nQuery: Is cork heavy?",
        ),
        (
            "context.table",
            {"table": "| a |", "query": "a?"},
            f"{PROVIDED}, organized in a table where each row represents a useful record. Please "
            f"generate an answer using only this context information. {WORDS}\n"
            "Context information:\n| a |\nQuery: a?",
        ),
        ("polarity", {"text": TEXT}, f"{POLARITY}\nText:\n{TEXT}"),
        (
            "polarity.cloze",
            {"text": TEXT},
            f"{POLARITY}\nText:\n{TEXT}\nThe polarity of the text is",
        ),
        (
            "polarity.just",
            {"text": TEXT},
            f"{POLARITY}\nText:\n{TEXT}\nWhat is the polarity of the text?\n"
            "Just answer: positive, negative, or neutral.",
        ),
        ("polarity.feeling", {"text": TEXT}, f"{TEXT} I'm"),
        (
            "polarity.instruction",
            {"text": TEXT},
            "Assume that the polarity of a text is a label chosen from {positive, negative, "
            f"neutral}}. Identify the polarity of the input.\nInput: {TEXT}\nPolarity:",
        ),
        (
            "names",
            {"text": TEXT},
            f"Identify all person names in the provided text.\nText:\n{TEXT}",
        ),
        (
            "extract",
            {"task_description": EXTRACTIONS["keywords"], "text": TEXT},
            "You will be provided with a text. Your task is to extract keywords from the text.\n"
            f"Text: {TEXT}",
        ),
        (
            "poem",
            {
                "kind": "traditional Chinese",
                "theme": "First snow",
                "structure": "Five-character regulated poem",
                "emotion": "Convey calm",
            },
            "You are a poet. Please write a traditional Chinese poem. Here are the requirements.\n"
            "Theme: First snow\nStructure: Five-character regulated poem\nEmotion: Convey calm",
        ),
        (
            "code",
            {"purpose": "calculate the average of a list of numbers"},
            "Please write a Python function to calculate the average of a list of numbers.",
        ),
        (
            "code.fix",
            {"language": "C", "program": 'printg("Hi")'},
            'Fix the bugs in this C program.\nprintg("Hi")',
        ),
        (
            "translate.following",
            {"source": "English", "target": "Spanish", "text": "The cat sleeps."},
            "Translate the following text from English to Spanish.\nThe cat sleeps.",
        ),
        (
            "summarize",
            {"limit": "50", "text": "Long."},
            "Summarize the following article in no more than 50 words:\nLong.",
        ),
        (
            "rewrite",
            {"style": "formal", "text": "Hi there!"},
            "Rewrite this text in a formal tone.\nHi there!",
        ),
        ("question.plain", {"question": "Who?"}, "Who?"),
        ("question.named", {"question": "Who?"}, "Question: Who?\nAnswer:"),
    ],
)
def test_a_prompt_of_the_library_filled_in(name, values, prompt):
    assert LIBRARY[name].format(**values) == prompt


def test_every_class_is_defined_in_the_detailed_prompt():
    prompt = LIBRARY["polarity.defined"].format(text=TEXT)
    assert prompt.startswith(f"{POLARITY} The classes are defined as follows.\nPositive: the text")
    for line in (
        "Positive: the text conveys a positive emotion or attitude, such as happiness, "
        "satisfaction, excitement, or admiration.",
        "Negative: the text expresses a negative emotion or attitude, such as sadness, anger, "
        "frustration, or criticism.",
        "Neutral: the text does not express clear positive or negative emotion but rather conveys "
        "an informational, factual, or indifferent tone.",
    ):
        assert line in prompt.split("\n")
    assert prompt.endswith(f"\nText:\n{TEXT}\nWhat is the polarity of the text?")


def test_the_generic_template_has_the_three_tasks_of_the_book():
    assert EXTRACTIONS == {
        "keywords": "extract keywords from the text.",
        "events": "extract key events from the text.",
        "coreference": "detect coreference and anaphoric relations between entities in the text.",
    }


def test_roles_are_statements_about_the_model():
    assert all(role.startswith("You are a ") for role in ROLES.values())
    assert ROLES["computer scientist"] == (
        "You are a computer scientist with extensive knowledge in the field of deep learning."
    )


def test_a_more_specific_prompt_can_be_checked():
    limit = LIBRARY["topic.audience"].partial(limit="12").slots
    assert limit == ("topic", "audience", "aspects")
    lm = ScriptedLM([("Tell me about soil erosion.", "Rain carries earth into the river.")])
    reply = lm.complete(LIBRARY["topic"].format(topic="soil erosion")).text
    failed = unmet(reply, [max_words(12), must_mention(["river", "harvests"])])
    assert [check.found for check in failed] == [["harvests"]]


def test_prompting_changes_no_weight():
    from tests.prompt.small import text_model

    lm = text_model()
    before = [p.data.copy() for p in lm.opened.lm.model.parameters()]
    prompt = LIBRARY["question"].format(question="2?")
    lm.complete(prompt, max_tokens=3)
    lm.score(prompt, [" a", " b"])
    after = [p.data for p in lm.opened.lm.model.parameters()]
    assert isinstance(lm, TextModel)
    assert len(before) > 0 and all((a == b).all() for a, b in zip(before, after))

"""Pairs of answers are read from every form of file that people keep them in."""

import json
from pathlib import Path

import pytest

from tinylm.data.read.instructions import Instruction, read_instructions
from tinylm.data.read.preferences import (
    Judged,
    Preference,
    Rated,
    read_feedback,
    read_judged,
    read_preferences,
)
from tinylm.data.read.prompts import read_prompts
from tinylm.errors import DataError
from tinylm.reading import BadLines

SHARED = Path(__file__).parents[3] / "../shared/data/preference/llms_from_scratch_preference.json"
S, U, A, C = (
    {"role": role, "content": content}
    for role, content in (
        ("system", "s"),
        ("user", "a"),
        ("assistant", "b"),
        ("assistant", "c"),
    )
)
ALPACA = {"instruction": "Add.", "input": "1 2", "output": "3", "chosen": "3", "rejected": "4"}
BEFORE = (("user", "a"), ("assistant", "b"))


def read(record, tmp_path, **options):
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    return read_preferences(tmp_path / "a.jsonl", **options)


@pytest.mark.parametrize(
    "record, expected",
    [
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, Preference("p", "c", "r")),
        ({"question": "p", "chosen": "c", "rejected": "r"}, Preference("p", "c", "r")),
        (ALPACA, Preference("Add.\n1 2", "3", "4")),
        ({**ALPACA, "input": ""}, Preference("Add.", "3", "4")),
        ({**ALPACA, "id": 7, "task": "sum"}, Preference("Add.\n1 2", "3", "4")),
        (
            {"system": "s", "prompt": "p", "chosen": "c", "rejected": "r"},
            Preference("p", "c", "r", (("system", "s"),)),
        ),
        ({"prompt": [U], "chosen": [A], "rejected": [C]}, Preference("a", "b", "c")),
        ({"chosen": [U, A], "rejected": [U, C]}, Preference("a", "b", "c")),
        ({"prompt": "a", "chosen": [U, A], "rejected": [U, C]}, Preference("a", "b", "c")),
        ({"prompt": "a", "chosen": [A], "rejected": [C]}, Preference("a", "b", "c")),
        (
            {"chosen": [U, A, U, A], "rejected": [U, A, U, C]},
            Preference("a", "b", "c", BEFORE),
        ),
        (
            {"prompt": [S, U, A, U], "chosen": [A], "rejected": [C]},
            Preference("a", "b", "c", (("system", "s"), *BEFORE)),
        ),
        (
            {"system": "s", "chosen": [U, A], "rejected": [U, C]},
            Preference("a", "b", "c", (("system", "s"),)),
        ),
        (
            {
                "prompt": [{"from": "human", "value": "a"}],
                "chosen": [{"from": "gpt", "value": "b"}],
                "rejected": [{"from": "gpt", "value": "c"}],
            },
            Preference("a", "b", "c"),
        ),
    ],
)
def test_pairs_are_read_from_every_form(record, expected, tmp_path):
    assert read(record, tmp_path) == [expected]


def test_a_list_of_pairs_is_read_in_its_order(tmp_path):
    pairs = [ALPACA, {"prompt": "p", "chosen": "c", "rejected": "r"}]
    (tmp_path / "a.json").write_text(json.dumps(pairs))
    assert [one.prompt for one in read_preferences(tmp_path / "a.json")] == ["Add.\n1 2", "p"]


def test_a_pair_is_two_conversations_with_one_beginning():
    chosen, rejected = Preference("a", "b", "c", (("system", "s"),)).conversations()
    assert chosen == [S, U, A] and rejected == [S, U, C]
    assert Preference("a", "b", "c", (("system", "s"),)).prompt_messages() == [S, U]


ONE = "one conversation, the same up to its last message"


@pytest.mark.parametrize(
    "record, words",
    [
        ({"chosen": [U, A, U, A], "rejected": [U, A]}, ONE),
        ({"chosen": [U, A], "rejected": [{**U, "content": "x"}, A]}, ONE),
        ({"chosen": [U, A], "rejected": [U, U]}, ONE),
        ({"chosen": [U, U], "rejected": [U, A]}, ONE),
        ({"chosen": [A], "rejected": [C]}, ONE),
        ({"prompt": [U, A], "chosen": [A], "rejected": [C]}, ONE),
        ({"chosen": [U, {**A, "name": "n"}], "rejected": [U, C]}, ONE),
        ({"system": "s", "chosen": [S, U, A], "rejected": [S, U, C]}, "there twice"),
        ({"prompt": "x", "chosen": [U, A], "rejected": [U, C]}, "'prompt' is not the first"),
        ({"chosen": [U, A], "rejected": "c"}, "a conversation is a list"),
        ({"prompt": "p", "chosen": "c", "rejected": "r", "margin": 2}, "the field 'margin'"),
        ({"chosen": [U, A], "rejected": [U, C], "margin": 2}, "the field 'margin'"),
        ({"prompt": "p", "chosen": 3, "rejected": "r"}, "'chosen' must be text, not 3"),
        ({"prompt": "p", "chosen": "c", "rejected": None}, "'rejected' is missing"),
        ({"chosen": "c", "rejected": "r"}, "'prompt' is missing, and .* in common"),
        ({"chosen": " c", "rejected": " r"}, "'prompt' is missing, and .* in common"),
        ({"chosen": "c", "rejected": "c"}, "'prompt' is missing, and .* in common"),
        ({"chosen": "", "rejected": "r"}, "'prompt' is missing, and .* in common"),
        ({"input": "i", "chosen": "ac", "rejected": "ar"}, "'prompt' is missing$"),
        ({"chosen": "ac", "rejected": "ar", "margin": 2}, "the field 'margin'"),
        ({"chosen": "ac", "rejected": ["r"]}, "'prompt' is missing$"),
        ({"prompt": "p", "question": "q", "chosen": "c", "rejected": "r"}, "are both there"),
        ({"prompt": "p", "output": "c"}, "a pair has the fields 'chosen' and 'rejected'"),
        ([1], "a pair has the fields"),
    ],
)
def test_other_pairs_are_refused_by_line(record, words, tmp_path):
    good = json.dumps({"prompt": "p", "chosen": "c", "rejected": "r"})
    (tmp_path / "a.jsonl").write_text(f"{good}\n{json.dumps(record)}")
    with pytest.raises(DataError, match=f"a.jsonl, line 2: .*{words}"):
        read_preferences(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "chosen, rejected, divided",
    [
        ("2 + 2? 4", "2 + 2? 5", ("2 + 2?", " 4", " 5")),  # the space belongs to the answers
        ("Q:\nyes", "Q:\nyellow", ("Q:\nye", "s", "llow")),
        ("Q? A B", "Q? A", ("Q? ", "A B", "A")),  # one text goes on from the end of the other
        ("Q? ja", "Q? nein", ("Q?", " ja", " nein")),
        ("Q? é", "Q? è", ("Q?", " é", " è")),
        ("Q? same", "Q? same", ("Q? sam", "e", "e")),  # counted later as a pair of equal answers
    ],
)
def test_a_prompt_that_stands_in_both_texts_alone_is_what_they_have_in_common(
    chosen, rejected, divided, tmp_path
):
    """The parts are those of extract_prompt of TRL 1.16.0."""
    (pair,) = read({"system": "s", "chosen": chosen, "rejected": rejected}, tmp_path)
    assert (pair.prompt, pair.chosen, pair.rejected) == divided
    assert pair.before == (("system", "s"),) and pair.implicit
    (told,) = read({"prompt": "Q", "chosen": chosen, "rejected": rejected}, tmp_path)
    assert (told.prompt, told.chosen, told.implicit) == ("Q", chosen, False)
    # The same record is a sample for tuning, and a prompt to answer.
    (tmp_path / "b.jsonl").write_text(json.dumps({"chosen": chosen, "rejected": rejected}))
    (sample,) = read_instructions(tmp_path / "b.jsonl")
    assert (sample.user, sample.output) == divided[:2]
    (prompt,) = read_prompts(tmp_path / "b.jsonl")
    assert prompt.messages == [{"role": "user", "content": divided[0]}]


def test_bad_pairs_may_be_left_out_and_counted(tmp_path):
    good = json.dumps({"prompt": "p", "chosen": "c", "rejected": "r"})
    (tmp_path / "a.jsonl").write_text(f'{{"prompt": "p"}}\n{good}')
    bad = BadLines(skip=True)
    assert read_preferences(tmp_path / "a.jsonl", bad) == [Preference("p", "c", "r")]
    assert bad.count == 1 and "line 1" in bad.first[0]
    (tmp_path / "a.jsonl").write_text('{"prompt": "p"}\n')
    with pytest.raises(DataError, match="holds no sample at all that can be read"):
        read_preferences(tmp_path / "a.jsonl", BadLines(skip=True))
    (tmp_path / "b.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no sample at all$"):
        read_preferences(tmp_path / "b.jsonl")


def test_the_better_answer_of_a_pair_is_a_sample_of_instructions(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([ALPACA]))
    assert read_instructions(tmp_path / "a.json") == [Instruction("Add.", "3", "1 2")]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_shared_pairs_are_read_whole():
    """1100 records; a few answers are the same twice, which the encoder counts and leaves out."""
    pairs = read_preferences(SHARED)
    records = json.loads(SHARED.read_text())
    assert len(pairs) == len(records) == 1100
    assert [one.chosen for one in pairs] == [record["chosen"] for record in records]
    assert pairs[0].prompt.endswith("into the spelling given.\nfreind --> friend")


@pytest.mark.parametrize(
    "record, expected",
    [
        ({"prompt": "p", "completion": "c", "label": True}, Judged("p", "c", True)),
        (
            {"instruction": "i", "input": "x", "output": "o", "label": False},
            Judged("i\nx", "o", False),
        ),
        ({"prompt": [U], "completion": [A], "label": False}, Judged("a", "b", False)),
        ({"messages": [S, U, A], "label": True}, Judged("a", "b", True, (("system", "s"),))),
        ({"messages": [U, A, U, C], "label": True}, Judged("a", "c", True, BEFORE)),
    ],
)
def test_judged_answers_are_read(record, expected, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    (found,) = read_judged(tmp_path / "a.jsonl")
    assert found == expected
    assert found.messages()[-1] == {"role": "assistant", "content": expected.answer}
    assert found.messages()[-2] == {"role": "user", "content": expected.prompt}
    assert len(found.messages()) == 2 + len(expected.before)


@pytest.mark.parametrize(
    "record, words",
    [
        ({"prompt": "p", "completion": "c"}, "a field 'label', true or false"),
        ({"prompt": "p", "completion": "c", "label": 1}, "true or false"),
        ([1], "true or false"),
        ({"messages": [A], "label": True}, "ends with a message of the user"),
        ({"messages": [U, A, U], "label": True}, "ends with a message of the user"),
        ({"prompt": "p", "completion": 3, "label": True}, "'completion' must be text"),
    ],
)
def test_other_judged_answers_are_refused_by_line(record, words, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    with pytest.raises(DataError, match=f"1: .*{words}"):
        read_judged(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "record, found",
    [
        ({"prompt": "a", "completion": "b", "rating": 2}, [Rated("a", "b", 2.0)]),
        (
            {"prompt": "a", "responses": ["b", "c"], "scores": [2, 0.5]},
            [Rated("a", "b", 2.0), Rated("a", "c", 0.5)],
        ),
        ({"prompt": "a", "completion": "b", "label": False}, [Judged("a", "b", False)]),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, [Preference("a", "b", "c")]),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 1, "score_rejected": 1},
            [Preference("a", "b", "c")],  # equal scores contradict nothing
        ),
    ],
)
def test_feedback_of_every_form_is_told_by_its_fields(record, found, tmp_path):
    path, places = tmp_path / "data.jsonl", []
    path.write_text("\n" + json.dumps(record) + "\n")
    assert read_feedback(path, places=places) == found
    assert places == ["line 2"] * len(found)


@pytest.mark.parametrize(
    "record, words",
    [
        (
            {"prompt": "a", "completions": ["b", "c"], "ratings": [1]},
            "lists of these of one length",
        ),
        ({"prompt": "a", "completions": ["b"], "ratings": 1}, "lists of these of one length"),
        ({"prompt": "a", "completions": ["b", 3], "ratings": [1, 2]}, "lists of these"),
        ({"prompt": "a", "completion": "b", "rating": "good"}, "a rating is a number"),
        ({"prompt": "a", "completion": "b", "rating": True}, "a rating is a number"),
        ({"prompt": "a", "completion": "b", "rating": 1, "ratings": [1]}, "which of them counts"),
        ({"completion": "b", "rating": 1}, "a rated answer has a prompt"),
        ({"prompt": "a", "completion": "b", "rating": 1, "weight": 2}, "'weight' is not read"),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 1, "score_rejected": 2},
            "the rejected answer has the greater score, 2 above 1",
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": "1"},
            "'score_chosen' and 'score_rejected' must be numbers",
        ),
    ],
)
def test_ratings_that_cannot_be_read_are_errors_with_their_line(record, words, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match=f"line 1: .*{words}"):
        read_feedback(path)

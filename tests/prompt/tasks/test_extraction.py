"""Lists in a required form are read line by line; what is not in the form, or not in the text, is
reported.
"""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import entity_lines, named_entity_items
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.extraction import (
    extract,
    extract_entities,
    extract_names,
    extract_relations,
    extraction_scores,
    parse_entities,
    parse_names,
    parse_relations,
)
from tinylm.prompt.template import EXTRACTIONS, LIBRARY

# The entities of the book's example, in a sentence of its own.
TEXT = (
    "Tom Jenkins of the European Tourism Organization expects that in 2024 more people will go "
    "from the UK to Europe."
)
FIVE = [
    ("Tom Jenkins", "Person Name"),
    ("European Tourism Organization", "Organization"),
    ("UK", "Location"),
    ("Europe", "Location"),
    ("2024", "Date"),
]
REPLY = (
    "1. Tom Jenkins - Person Name\n2. European Tourism Organization - Organization\n"
    "3. UK - Location\n4. Europe - Location\n5. 2024 - Date"
)


def test_the_five_entities_of_the_book_are_read():
    extracted = parse_entities(REPLY, TEXT)
    assert extracted.found == FIVE and extracted.unread == [] and extracted.invented == []
    assert entity_lines(extracted.found) == REPLY


@pytest.mark.parametrize(
    "line, found",
    [
        ("1) UK - Location", ("UK", "Location")),
        ("* UK – Location.", ("UK", "Location")),
        ("- UK — Location", ("UK", "Location")),
        ("  UK - Location  ", ("UK", "Location")),
        ("12. Rio - Niterói - Location", ("Rio - Niterói", "Location")),
        ("1. twenty-one - Number", ("twenty-one", "Number")),
        ("1. UK-Location", None),
        ("1. UK", None),
        ("1. UK - ", None),
        ("Here are the entities:", None),
    ],
)
def test_one_line_is_one_entity(line, found):
    extracted = parse_entities(f"\n{line}\n\n")
    if found:
        assert extracted.found == [found] and extracted.unread == []
    else:
        assert extracted.found == [] and extracted.unread == [line.strip()]
    assert extracted.invented == []


def test_types_that_were_not_allowed_are_unread_and_others_written_as_given():
    extracted = parse_entities("UK - location\nTom - Wizard", "UK", types=["Location", "Person"])
    assert extracted.found == [("UK", "Location")] and extracted.unread == ["Tom - Wizard"]
    assert parse_entities("Tom - Wizard", "UK").invented == ["Tom"]


@pytest.mark.parametrize(
    "reply, names",
    [
        ("Person names identified in the given text: Tom Jenkins", ["Tom Jenkins"]),
        ("Names: Tom Jenkins, Ana Ferreira, and Bo Li.", ["Tom Jenkins", "Ana Ferreira", "Bo Li"]),
        ("Tom Jenkins and Ana; Bo", ["Tom Jenkins", "Ana", "Bo"]),
        ("Person names:\n1. Tom Jenkins\n2. Ana\n* Ana", ["Tom Jenkins", "Ana"]),
        ("王小明", ["王小明"]),
        ("None.", []),
        ("There are no person names in the text.", []),
        ("Person names: none", []),
        ("", []),
    ],
)
def test_names_are_read_from_a_sentence_or_lines(reply, names):
    extracted = parse_names(reply)
    assert extracted.found == names and extracted.unread == []


def test_a_sentence_that_is_no_list_of_names_is_unread():
    for line in (
        "the text mentions nobody special",
        "The text was written about a man by the sea",
        "Tom, who is tall",
        "Tom!",
    ):
        extracted = parse_names(line)
        assert extracted.found == [] and extracted.unread == [line]
    assert parse_names("Tom, Ana", "Tom was here").invented == ["Ana"]


def test_relations_are_between_given_entities():
    entities = [name for name, _ in FIVE]
    reply = (
        "Tom Jenkins - European Tourism Organization: Tom Jenkins is its head.\n"
        "2. Europe - UK: close: very close\nTom Jenkins - Paris: no\nUK: rainy\n"
    )
    extracted = parse_relations(reply, entities)
    assert extracted.found == [
        ("Tom Jenkins", "European Tourism Organization", "Tom Jenkins is its head."),
        ("Europe", "UK", "close: very close"),
    ]
    assert extracted.unread == ["Tom Jenkins - Paris: no", "UK: rainy"]
    # Of two entities that begin alike the longer is meant, also one with a dash.
    assert parse_relations("A - B - A: x", ["A", "A - B"]).found == [("A - B", "A", "x")]
    assert parse_relations(" - : x", []).unread == ["- : x"]


def test_entities_are_scored_as_pairs_of_words_and_type():
    found = [FIVE[:3] + [("2024", "Location")], []]
    scores = extraction_scores(found, [FIVE, [("Bo", "Person Name")]])
    # 3 of 4 found are right, 3 of 6 true ones are found; F1 = 2 * 3 / (4 + 6)
    assert scores == {"precision": 0.75, "recall": 0.5, "f1": pytest.approx(0.6)}
    assert extraction_scores([FIVE + FIVE], [FIVE])["f1"] == 1.0


def test_a_model_that_writes_the_required_form_is_read_exactly():
    for item in named_entity_items(20):
        prompt = LIBRARY["entities"].format(text=item.question) + "\n"
        answer = extract_entities(ScriptedLM({prompt: item.answer}), item)
        assert answer.value == item.answer
        assert answer.details["extracted"].invented == []


def test_types_are_listed_in_the_prompt_if_they_are_given():
    lm = ScriptedLM([(None, "UK - location\nnothing else")])
    answer = extract_entities(lm, Item("In the UK.\nText: no"), types=["Location", "Date"])
    assert lm.prompts[0].endswith("\nTypes: Location, Date\nText:\nIn the UK.\nText: no\n")
    assert answer.value == "1. UK - Location"
    assert answer.details["extracted"].unread == ["nothing else"]


def test_names_and_relations_of_a_text():
    prompt = LIBRARY["names"].format(text=TEXT) + "\n"
    lm = ScriptedLM([(prompt, "Person names: Tom Jenkins, Ana"), (prompt, "None"), (prompt, " ")])
    with lm.tracing() as trace:
        answer = extract_names(lm, Item(TEXT))
    assert answer.value == "Tom Jenkins\nAna" and answer.details["extracted"].invented == ["Ana"]
    assert trace.calls[0].parsed == [("found", "Tom Jenkins\nAna")]
    assert extract_names(lm, Item(TEXT)).value == ""  # none, and not: unreadable
    assert extract_names(lm, Item(TEXT)).value is None
    lm = ScriptedLM([(None, "the man by the sea is a stranger to all")])
    assert extract_names(lm, Item(TEXT)).value is None
    prompt = LIBRARY["relations"].format(entities="UK, Europe", text=TEXT) + "\n"
    lm = ScriptedLM([(prompt, "UK - Europe: part of it ")])
    answer = extract_relations(lm, Item(TEXT), entities=["UK", "Europe"])
    assert answer.value == "UK - Europe: part of it"


def test_anything_described_can_be_extracted():
    task = EXTRACTIONS["events"]
    prompt = (
        "You will be provided with a text. Your task is to extract key events from the text.\n"
        f"Text: {TEXT}\n"
    )
    assert (
        extract(ScriptedLM([(prompt, " More travel. ")]), Item(TEXT), task=task).value
        == "More travel."
    )
    assert extract(ScriptedLM([(prompt, "\n")]), Item(TEXT), task=task).value is None

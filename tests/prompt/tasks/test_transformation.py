"""Texts are translated, summarized within a limit, and rewritten."""

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.cipher import cipher_items
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.transformation import rewrite, summarize, translate

TEXT = "The small grey cat sleeps under the table."


def test_a_translation_is_asked_for_by_language():
    prompt = f"Translate the following text from English to Spanish.\n{TEXT}\n"
    lm = ScriptedLM([(prompt, "El gato duerme.\n\nTranslate"), (prompt, " ")])
    with lm.tracing() as trace:
        answer = translate(lm, Item(TEXT))
    assert answer.value == "El gato duerme." and trace.calls[0].parsed == [("text", answer.value)]
    assert translate(lm, Item(TEXT)).value is None


def test_demonstrations_are_translations_in_the_same_words():
    demo, item = cipher_items(2)
    languages = {"source": "A", "target": "B"}
    start = "Translate the following text from A to B.\n"
    prompt = f"{start}{demo.question}\n{demo.answer}\n\n{start}{item.question}\n"
    answer = translate(ScriptedLM([(prompt, item.answer)]), item, [demo], **languages)
    assert answer.value == item.answer


def test_a_summary_has_at_most_the_words_allowed():
    prompt = f"Summarize the following article in no more than 50 words:\n{TEXT}\n"
    fifty, more = "word " * 50, "word " * 51
    answer = summarize(ScriptedLM([(prompt, more), (prompt, fifty)]), Item(TEXT))
    assert answer.value == fifty.strip()
    assert [len(checks) for checks in answer.details["unmet"]] == [1, 0]
    assert summarize(ScriptedLM([(prompt, more)] * 4), Item(TEXT)).value is None
    short = prompt.replace("50", "3")
    assert summarize(ScriptedLM([(short, "A cat sleeps.")]), Item(TEXT), limit=3).value


def test_a_text_is_rewritten_in_a_style():
    prompt = "Rewrite this text in a formal tone.\nHey, what's up?\n"
    answer = rewrite(ScriptedLM([(prompt, "Hello, how are you?")]), Item("Hey, what's up?"))
    assert answer.value == "Hello, how are you?"
    casual = prompt.replace("formal", "casual")
    assert (
        rewrite(ScriptedLM([(casual, "Yo")]), Item("Hey, what's up?"), style="casual").value == "Yo"
    )

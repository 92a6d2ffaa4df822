"""`tinylm rag`: answers from files, their sources, and refusals."""

import io
import json
from pathlib import Path

import pytest

from tinylm.cli import main
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.rag import RagPrompt


@pytest.fixture
def notes(tmp_path):
    """Two documents and a file that is no text."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("The bridge was opened by Voss.")
    (folder / "b.txt").write_text("Bread is baked at 230 degrees.")
    (folder / "c.txt").write_bytes(bytes(range(256)))
    return str(folder)


def test_files_are_named_from_where_one_is(notes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far" / "away").mkdir(parents=True)
    index = str(tmp_path / "far" / "away" / "index.npz")
    assert main(["rag", "notes", "Who opened the bridge?", "--show", "--index", index]) == 0
    assert "  notes/a.txt, characters 0 to 30\n" in capsys.readouterr().out


def test_passages_are_shown_without_a_model(notes, capsys):
    assert main(["rag", notes, "Who opened the bridge?", "--show"]) == 0
    out, err = capsys.readouterr()
    score, place, text = out.splitlines()[0].split(maxsplit=1)[0], *out.splitlines()[:2]
    assert float(score) > 0 and place.endswith("a.txt, characters 0 to 30")
    assert text == "The bridge was opened by Voss."
    assert "c.txt is left out" in err
    assert main(["rag", notes, "zebras?", "--show"]) == 0
    assert "no passage has a word" in capsys.readouterr().out


def test_stems_find_other_forms(notes, capsys):
    asked = ["rag", notes, "bridges?", "--show"]
    assert main([*asked, "--stem"]) == 0
    assert "a.txt, characters 0 to 30" in capsys.readouterr().out
    assert main(asked) == 0
    assert "no passage has a word" in capsys.readouterr().out


@pytest.fixture
def bridges(tmp_path, monkeypatch):
    """A folder of two notes of which the search likes the first, and a model the second."""
    folder = tmp_path / "bridges"
    folder.mkdir()
    (folder / "a.txt").write_text("Bridge, bridge, bridge.")
    (folder / "b.txt").write_text("The bridge was opened by Voss.")
    form = "Passage: {}\nPlease write a question based on this passage.\nQuestion:"
    question = " Which bridge?"
    script = [
        (form.format((folder / "a.txt").read_text()), {question: -9.0}),
        (form.format((folder / "b.txt").read_text()), {question: -4.0}),
        (None, "Voss opened it [1]."),
    ]
    lm = ScriptedLM(script)
    monkeypatch.setattr(TextModel, "open", lambda *a, **k: lm)
    return str(folder), lm


def test_the_model_orders_what_the_search_has_found(bridges, capsys):
    folder, lm = bridges
    asked = ["rag", folder, "Which bridge?", "--passages", "1"]
    assert main([*asked, "--show"]) == 0
    assert "a.txt, characters 0 to 23" in capsys.readouterr().out
    assert lm.prompts == []
    assert main([*asked, "--rerank", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Voss opened it [1].",
        "passages cited:",
        "  [1] b.txt, characters 0 to 30",
    ]
    assert "Bridge, bridge" not in lm.prompts[-1]


def test_the_order_of_the_model_is_shown_with_its_scores(bridges, capsys):
    folder, _ = bridges
    assert main(["rag", folder, "Which bridge?", "--rerank", "2", "--show"]) == 0
    out = capsys.readouterr().out
    # -4 and -9 nats over the two words of the question
    assert out.index("-2.000  b.txt") < out.index("-4.500  a.txt")


def test_an_answer_has_its_sources(notes, monkeypatch, capsys):
    scripted = ScriptedLM([(None, "Voss opened it [1]."), (None, "No answer!"), (None, "")])
    monkeypatch.setattr(TextModel, "open", lambda *a, **k: scripted)
    asked = ["rag", notes, "Who opened the bridge?", "--passages", "1"]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Voss opened it [1].",
        "passages cited:",
        "  [1] a.txt, characters 0 to 30",
    ]
    (prompt,) = scripted.prompts
    assert "give the number of the text that supports it in brackets" in prompt
    assert "Who opened the bridge?" in prompt and "opened by Voss." in prompt
    assert "Bread" not in prompt
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["refused"] == "the model finds no answer in the passages"
    assert result["answer"] == "No answer!" and result["covered"] == 1 and result["missing"] == []
    assert result["passages"][0]["document"] == "a.txt"
    assert main([*asked, "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "call 1, complete" and lines[-3] == "(the reply was empty)"


def scripted(monkeypatch, *replies, **options):
    """A ScriptedLM in place of every model."""
    lm = ScriptedLM([(None, reply) for reply in replies], **options)
    monkeypatch.setattr(TextModel, "open", lambda *a, **k: lm)
    return lm


def test_numbers_are_those_of_the_prompt_where_neighbors_are_one_text(
    tmp_path, monkeypatch, capsys
):
    # Sentences of 5 words; two neighbors about the bridge are found, and are text 1.
    (tmp_path / "a.txt").write_text("The bridge is quite long. The old bridge was burnt. Bread.")
    (tmp_path / "b.txt").write_text("No other bridge is here.")
    lm = scripted(monkeypatch, "Burnt [2].")
    asked = ["rag", str(tmp_path), "Which bridge?", "--size", "5", "--overlap", "0"]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "passages cited:",
        "  [2] b.txt, characters 0 to 24",
        "      unsupported: 0% of the words of 'Burnt' are in it",
        "passages given and not cited:",
        "  [1] a.txt, characters 0 to 52",
    ]
    assert "Relevant Text 2: No other bridge" in lm.prompts[0]


def test_a_question_about_other_things_is_refused_before_a_model_is_called(
    notes, monkeypatch, capsys
):
    lm = scripted(monkeypatch, "It was.")
    asked = ["rag", notes, "Which king of Spain opened it?"]
    assert main([*asked, "--trace"]) == 0
    # opened: n = 1 of 2, idf log 2; king and Spain: n = 0, idf log 6. log 2 / (log 2 + 2 log 6)
    reason = (
        "0.16 of the question's words, rare ones weighing most, are in the passages "
        "(missing: king, spain); --covered 0 answers anyway"
    )
    assert capsys.readouterr().out.strip() == f"refused: {reason}"
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["answer"] == "No answer!" and result["refused"] == reason
    assert result["covered"] == pytest.approx(0.162, abs=1e-3) and not result["passages"]
    assert result["missing"] == ["king", "spain"] and lm.prompts == []
    assert main([*asked, "--covered", "0"]) == 0
    assert capsys.readouterr().out.startswith("It was.\n")
    assert main(["rag", notes, "Where does Voss open bridges?", "--covered", "1"]) == 1
    assert "the script is over" in capsys.readouterr().err  # the model was called


def test_without_a_text_nothing_is_answered_from_memory(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("zebra " * 7)
    # 3 words for "Relevant Text 1:" and 6, one less than the text has, and too few for a cut one.
    room = len(RagPrompt(cite=True).prompt("zebra?").split()) + 3 + 6
    lm = scripted(monkeypatch, context=room + 96)
    assert main(["rag", str(tmp_path), "king?", "--covered", "0"]) == 0
    assert capsys.readouterr().out == "refused: no passage has a word of the question\n"
    assert main(["rag", str(tmp_path), "zebra?", "--covered", "0"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("refused: none of the 1 passages found fits into the model's context")
    assert "--size 100 or --max-tokens 96" in out and lm.prompts == []
    lm = scripted(monkeypatch, "x")
    asked = ["rag", str(tmp_path), "zebra?", "--max-tokens", "95"]
    monkeypatch.setattr(lm, "context", room + 96)
    assert main(asked) == 0 and len(lm.prompts) == 1


@pytest.mark.parametrize(
    "question", ["What does 2**3 give?", "/etc has [what]?", "why " * 100, "/**x", "[", "a\0*"]
)
def test_any_text_may_be_a_question(notes, capsys, question):
    assert main(["rag", notes, question, "--show"]) == 0
    assert "no passage has a word" in capsys.readouterr().out


def test_a_pattern_that_matches_is_no_question(notes, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"bread?\n")))
    assert main(["rag", f"{notes}/[ab].txt", "--show"]) == 0
    assert "baked at 230" in capsys.readouterr().out


def test_citations_are_printed_checked_and_kept_apart(notes, monkeypatch, capsys):
    reply = "Voss opened the bridge [1]. Bread is baked at 230 degrees [1, 2][3]."
    scripted(monkeypatch, reply, reply)
    asked = ["rag", notes, "Who opened the bridge, and how is bread baked?"]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        reply,
        "passages cited:",
        "  [3] is none of the passages",
        "  [1] a.txt, characters 0 to 30",
        "      unsupported: 0% of the words of 'Bread is baked at 230 degrees' are in it",
        "  [2] b.txt, characters 0 to 30",
    ]
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cited_answer"] == reply
    assert result["answer"] == "Voss opened the bridge. Bread is baked at 230 degrees[3]."
    found = [(one["number"], one["supported"]) for one in result["citations"]]
    assert found == [(1, True), (1, False), (2, True), (3, False)]


def test_one_question_that_is_too_long_does_not_end_the_others(notes, monkeypatch, capsys):
    long = "bridge " * 300
    for more in ([], ["--json"]):
        lm = scripted(monkeypatch, "Voss [1].", "Hot [1].", context=300)
        data = f"bridge?\n{long}\nbread?\n".encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["rag", notes, *more]) == 0
        out, err = capsys.readouterr()
        assert lm.finished and "tinylm rag: question 2, bridge bridge" in err
        assert "there is room for" in err
    answers = [json.loads(line) for line in out.splitlines()]
    assert [one["answer"] for one in answers] == ["Voss.", None, "Hot."]
    assert "there is room for" in answers[1]["error"]
    assert main(["rag", notes, long]) == 1


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_word_is_refused(notes, capsys, empty):
    assert main(["rag", notes, empty]) == 1
    assert "the question is empty" in capsys.readouterr().err
    assert main(["rag", empty]) == 1
    assert "the question is empty" in capsys.readouterr().err
    assert main(["rag", empty, notes, "bridge?"]) == 1
    assert "path of a document is empty" in capsys.readouterr().err


def test_an_index_that_is_a_folder_is_refused(notes, capsys):
    assert main(["rag", notes, "bridge?", "--show", "--index", notes]) == 1
    assert f"the index {notes} is a folder" in capsys.readouterr().err


def test_questions_come_from_the_standard_input(notes, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"bridge?\n\nbread?\n")))
    assert main(["rag", notes, "--show", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["question"] == "bridge?" and first["passages"][0]["document"] == "a.txt"
    assert second["passages"][0]["document"] == "b.txt"


def test_the_index_is_kept_and_brought_up_to_date(notes, capsys):
    from pathlib import Path

    assert main(["rag", notes, "bridge", "--show"]) == 0
    index = Path(notes) / ".tinylm-index.npz"
    written = index.stat().st_mtime_ns
    assert main(["rag", notes, "bridge", "--show"]) == 0
    assert index.stat().st_mtime_ns == written
    Path(notes, "a.txt").write_text("The tunnel was dug by Brandt, later.")
    capsys.readouterr()
    assert main(["rag", notes, "tunnel", "--show"]) == 0
    assert "Brandt" in capsys.readouterr().out and index.stat().st_mtime_ns != written


def test_names_of_files_move_no_cursor(notes, capsys):
    Path(notes, "empty\x1b[31m.txt").write_text("")
    Path(notes, "x.bin").write_bytes(b"x")
    Path(notes, "bad\udcff.txt").write_text("A bridge of wood.")
    assert main(["rag", notes, "wood", "--show"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in err and r"empty\x1b[31m.txt is left out" in err
    assert "left out 1 file not named like a text: 1 .bin" in err
    assert r"bad\udcff.txt, characters 0 to 17" in out


def test_without_documents_there_is_nothing_to_search(capsys):
    assert main(["rag", "Who opened the bridge?"]) == 1
    assert "no documents" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, option",
    [
        (["--model", "RUN"], "--model"),
        (["--covered", "0", "--trace"], "--covered and --trace"),
        (["--raw", "--system", "x"], "--raw and --system"),
        (["--max-tokens", "5", "--seed", "1", "--bits", "8"], "--max-tokens and --seed"),
    ],
)
def test_what_a_search_alone_has_no_use_for_is_refused(words, option, notes, capsys):
    assert main(["rag", notes, "bridge?", "--show", *words]) == 1
    error = capsys.readouterr().err
    assert f"{option} would change nothing: --show prints the passages" in error

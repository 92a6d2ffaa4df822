"""`tinylm rag`: answers from files, their sources, and refusals."""

import io
import json

import pytest

from tinylm.cli import main
from tinylm.prompt import ScriptedLM, TextModel


@pytest.fixture
def notes(tmp_path):
    """Two documents and a file that is no text."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("The bridge was opened by Voss.")
    (folder / "b.txt").write_text("Bread is baked at 230 degrees.")
    (folder / "c.txt").write_bytes(bytes(range(256)))
    return str(folder)


def test_passages_are_shown_without_a_model(notes, capsys):
    assert main(["rag", notes, "Who opened the bridge?", "--show"]) == 0
    out, err = capsys.readouterr()
    score, place, text = out.splitlines()[0].split(maxsplit=1)[0], *out.splitlines()[:2]
    assert float(score) > 0 and place.endswith("a.txt, characters 0 to 30")
    assert text == "The bridge was opened by Voss."
    assert "c.txt is left out" in err
    assert main(["rag", notes, "zebras?", "--show"]) == 0
    assert "no passage has a word" in capsys.readouterr().out


def test_an_answer_has_its_sources(notes, monkeypatch, capsys):
    scripted = ScriptedLM([(None, "Voss opened it."), (None, "No answer!"), (None, "")])
    monkeypatch.setattr(TextModel, "open", lambda *a, **k: scripted)
    asked = ["rag", notes, "Who opened the bridge?", "--passages", "1"]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Voss opened it.",
        "  [1] a.txt, characters 0 to 30",
    ]
    (prompt,) = scripted.prompts
    assert "Who opened the bridge?" in prompt and "opened by Voss." in prompt
    assert "Bread" not in prompt
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["refused"] == "words" and result["answer"] == "No answer!"
    assert result["sources"][0]["document"] == "a.txt" and result["covered"] > 0.4
    assert main([*asked, "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "call 1, complete" and lines[-2] == "(the reply was empty)"


def test_a_question_about_other_things_is_refused_before_a_model_is_called(notes, prompted, capsys):
    asked = ["rag", notes, "Which king of Spain?", "--model", prompted]
    assert main([*asked, "--trace"]) == 0
    out = capsys.readouterr().out.strip()
    assert out == "The documents do not hold the answer (words of the question)."
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["answer"] == "No answer!" and result["covered"] < 0.4 and not result["sources"]


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


def test_without_documents_there_is_nothing_to_search(capsys):
    assert main(["rag", "Who opened the bridge?"]) == 1
    assert "no documents" in capsys.readouterr().err

"""The model of `tinylm prompt` and `tinylm rag` is opened as its settings say."""

from tinylm.cli.use.text_model import TextModelConfig, open_text_model
from tinylm.prompt import TextModel


def test_a_chat_model_gets_the_system_message(monkeypatch):
    class Chat:
        chat, system = True, None

    monkeypatch.setattr(TextModel, "open", lambda *names, **settings: Chat())
    assert open_text_model("m", TextModelConfig(system="Be kind.")).system == "Be kind."
    assert open_text_model("m", TextModelConfig()).system is None

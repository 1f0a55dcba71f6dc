"""What every error of the user's is."""

from __future__ import annotations

from models.errors import StyleRigError


def test_control_characters_are_shown_and_not_obeyed():
    error = StyleRigError("a\x1b[2J\x9b\u202eb\udc80\tc", "d\re\nf")
    assert error.message == "a\\x1b[2J\\x9b\\u202eb\\udc80\\tc" and error.hint == "d\\re\nf"
    assert str(error) == f"{error.message} {error.hint}" and error.args == (error.message,)
    str(error).encode()


def test_letters_of_all_languages_stay():
    words = "Größe 顔 лицо\u202f5\u00a0cm – “é” 🙂"
    assert StyleRigError(words).message == words

"""The extension's one kind of error, and texts that are put into another language when they are shown. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Text:
    """A text of the interface: a template, and what stands in its braces. ``str`` gives it in English.

    Nothing is filled in before the template is translated. A value may be a Text itself.
    """

    def __init__(self, template: str, /, **values: Any):
        self.template, self.values = template, values

    def __str__(self) -> str:
        return self.translated(lambda template: template)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.template, self.values) == (other.template, other.values)

    def translated(self, translate: Callable[[str], str]) -> str:
        """The text in the language of ``translate``, which maps templates. Without values braces stay as they are."""
        words = translate(self.template) if self.template else ""
        values = {name: value.translated(translate) if isinstance(value, Text) else value for name, value in self.values.items()}
        return words.format(**values) if values else words


class UserError(Exception):
    """Something a person can put right: what is wrong (message), what to do (hint), and a code for programs.

    ``message`` and ``hint`` are templates whose braces ``values`` fill; both can also be a Text with values of its own.
    """

    def __init__(self, code: str, message: str | Text, hint: str | Text = "", /, **values: Any):
        self.code = code
        texts = (text if isinstance(text, Text) else Text(text, **values) for text in (message, hint))
        self.message_text, self.hint_text = texts
        super().__init__(self.message)

    @property
    def message(self) -> str:
        return str(self.message_text)

    @property
    def hint(self) -> str:
        return str(self.hint_text)

    def __str__(self) -> str:
        return self.translated(lambda template: template)

    def translated(self, translate: Callable[[str], str]) -> str:
        """Message and hint in the language of ``translate``, which maps templates."""
        return f"{self.message_text.translated(translate)} {self.hint_text.translated(translate)}".strip()

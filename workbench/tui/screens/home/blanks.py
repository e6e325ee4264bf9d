"""What the questions' blanks hold, by name: what is typed once stands in every question, and what is offered there."""

from __future__ import annotations


class Blanks:
    """Values of blanks; a blank without one shows its example."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        """by name; the questions read it"""
        self.typed_prompt = ""
        """words that fit no question: the prompt for as long as they stand in the field that filters"""
        self._before_typing: str | None = None
        self._offered_direction: str | None = None

    def type_prompt(self, text: str) -> None:
        """Words that fit no question become the prompt of all of them; empty, the one before is back."""
        if text and not self.typed_prompt:
            self._before_typing = self.values.get("prompt")
        if text:
            self.values["prompt"] = text
        elif self.typed_prompt:
            if self._before_typing is None:
                self.values.pop("prompt", None)
            else:
                self.values["prompt"] = self._before_typing
        self.typed_prompt = text

    def keep_typed_prompt(self) -> None:
        """It was asked about: from now on it is the prompt."""
        self.typed_prompt, self._before_typing = "", None

    def offer_prompt(self, prompt: str) -> bool:
        """What was last asked elsewhere; whether that changes a blank."""
        if prompt:
            self.values["prompt"] = prompt
        return bool(prompt)

    def offer_direction(self, direction: str) -> bool:
        """The session's newest, where nobody typed another one; whether that changes a blank."""
        if self.values.get("direction") != self._offered_direction or direction == self._offered_direction:
            return False
        self.values["direction"] = self._offered_direction = direction
        return True

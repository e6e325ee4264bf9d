"""The least a Textual program can be: what first paint and memory are held against."""

from textual.app import App, ComposeResult
from textual.widgets import Label


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Label("What do you want to know?")


if __name__ == "__main__":
    Bare().run()

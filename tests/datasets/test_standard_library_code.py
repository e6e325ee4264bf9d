"""`stdlib:code`: the standard library's source beside its prose."""

from __future__ import annotations

from workbench.datasets.corpora import open_corpus


def test_source_comes_beside_the_prose() -> None:
    prose, both = open_corpus("stdlib"), open_corpus("stdlib:code")
    assert both.info.name == "stdlib-code" and both.info.hash != prose.info.hash
    assert both.info.characters > 3 * prose.info.characters
    texts = {text for _, text in both.documents()}
    assert {text for _, text in prose.documents()} <= texts
    assert sum("\n    def __init__(self" in text for text in texts) > 100
    assert [text for _, text in open_corpus("stdlib:code").documents()] == [text for _, text in both.documents()]

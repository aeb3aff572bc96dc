"""From the HTML of a cell to the words in it, as the editor extracts them, and back."""

import html
import re
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "div", "li", "tr", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"})
_RANGE_MARKER = re.compile(r"\s*(?:<p>|<span>)*\s*(?:<range\s*/?>|&lt;range&gt;)", re.IGNORECASE)


def plain_text(value: str) -> str:
    """The text of a cell's HTML: no superscripts (footnote marks), no tags, entities decoded, single spaces.

    The end of a paragraph and a line break part words. A superscript that is never closed is kept as
    text, so that a missing tag cannot swallow the rest of a verse.
    """
    if "<" not in value and "&" not in value:
        return " ".join(value.split())
    extractor = _TextExtractor()
    extractor.feed(value)
    extractor.close()
    return " ".join(extractor.text().split())


def is_range_marker(value: str) -> bool:
    """True for the `<range>` of older projects: the verse is a part of the cell before it."""
    return _RANGE_MARKER.match(value) is not None


def html_escape(text: str) -> str:
    """`text` as HTML, on one line and without a wrapper: what a transcription becomes in a cell."""
    return html.escape(" ".join(text.split()), quote=False)


class _TextExtractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._superscripts: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "sup":
            self._superscripts.append(len(self._pieces))
        elif tag == "br":
            self._pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "sup" and self._superscripts:
            del self._pieces[self._superscripts.pop() :]
        elif tag in _BLOCKS or tag == "br":
            self._pieces.append(" ")

    def handle_data(self, data: str) -> None:
        self._pieces.append(data)

    def text(self) -> str:
        return "".join(self._pieces)

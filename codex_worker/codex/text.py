"""From the HTML of a cell to the words in it, as the editor extracts them, and back."""

import html
import re

_TAG_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)")
_UP_TO_QUOTE_OR_END = re.compile(r"[^\"'>]*")
_BLOCKS = frozenset({"p", "div", "li", "tr", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"})
_RANGE_MARKER = re.compile(r"(?:<p>|<span>)*\s*(?:<range\s*/?>|&lt;range&gt;)", re.IGNORECASE)


def plain_text(value: str) -> str:
    """The text of a cell's HTML: no superscripts (footnote marks), no tags, entities decoded, single spaces.

    The end of a paragraph and a line break part words. A superscript that is never closed is kept as
    text, so that a missing tag cannot swallow the rest of a verse. Takes time linear in the length, whatever
    the markup: it comes from strangers.
    """
    if "<" not in value and "&" not in value:
        return " ".join(value.split())
    pieces: list[str] = []
    superscripts: list[int] = []
    at = 0
    for start, end, closing, name in _Tags(value):
        pieces.append(html.unescape(value[at:start]))
        at = end
        if name == "sup" and not closing:
            superscripts.append(len(pieces))
        elif name == "sup" and superscripts:
            del pieces[superscripts.pop() :]
        elif name == "br" or (closing and name in _BLOCKS):
            pieces.append(" ")
    pieces.append(html.unescape(value[at:]))
    return " ".join("".join(pieces).split())


def is_range_marker(value: str) -> bool:
    """True for the `<range>` of older projects: the verse is a part of the cell before it."""
    return _RANGE_MARKER.match(value.lstrip()) is not None  # `\s*` twice would try every split of the spaces


def html_escape(text: str) -> str:
    """`text` as HTML, on one line and without a wrapper: what a transcription becomes in a cell."""
    return html.escape(" ".join(text.split()), quote=False)


class _Tags:
    """The tags of an HTML text in order: where each starts and ends, whether it closes, and its name."""

    def __init__(self, value: str) -> None:
        self._value = value
        self._last_end = value.rfind(">")
        self._last_comment_end = value.rfind("-->")
        self._quotes_are_closed = True
        self._at = 0

    def __iter__(self) -> "_Tags":
        return self

    def __next__(self) -> tuple[int, int, bool, str]:
        while (start := self._value.find("<", self._at)) >= 0 and start < self._last_end:
            match = _TAG_NAME.match(self._value, start)
            if match is not None:
                self._at = self._end_of_tag(match.end())
                return start, self._at, bool(match[1]), match[2].lower()
            if self._value.startswith(("<!", "<?"), start):
                self._at = self._end_of_declaration(start)
                return start, self._at, False, ""
            self._at = start + 1  # a plain "less than"
        raise StopIteration

    def _end_of_tag(self, at: int) -> int:
        """Behind the `>` that is not in quotes; behind the first, once a quote was found never to close."""
        start = at
        while self._quotes_are_closed:
            match = _UP_TO_QUOTE_OR_END.match(self._value, at)
            at = match.end() if match else at
            mark = self._value[at : at + 1]
            if mark == ">":
                return at + 1
            at = self._value.find(mark, at + 1) + 1 if mark else 0
            if at == 0:
                self._quotes_are_closed = False
        return self._value.index(">", start) + 1

    def _end_of_declaration(self, start: int) -> int:
        is_comment = self._value.startswith("<!--", start) and start < self._last_comment_end
        mark = "-->" if is_comment else ">"
        found = self._value.find(mark, start)
        return (found if found >= 0 else self._last_end) + len(mark)

"""Words that no dictionary has, mostly names: written so that each of their letters has a symbol.

The official alphabet has no `c` and no `q`, because pronunciations need none. All other letters of ASCII have
a symbol of their own, which the official weights learnt in just such words; they are left as they are.
"""

import re

# In the names of the Bible `ch` is nearly always a k: Nebuchadnezzar, Melchizedek, Antioch.
_ENGLISH = {"ch": "k", "qu": "kw", "q": "k", "soft c": "s", "c": "k"}
# What a romaniser means by them: Cyrillic ч and ц, Arabic ق.
_ROMANISED = {"ch": "tʃ", "qu": "ku", "q": "k", "soft c": "ts", "c": "ts"}
_SOUNDS = re.compile(r"ch|qu|q|(?P<soft>c(?=[eiy]))|c")


def spelt(word: str, *, romanised: bool = False) -> str:
    """A lower-case word without the letters that have no symbol: others that are spoken like them stand
    there.

    `romanised` says that the word was written in another script.
    """
    sounds = _ROMANISED if romanised else _ENGLISH
    return _SOUNDS.sub(lambda found: sounds["soft c" if found["soft"] else found[0]], word)

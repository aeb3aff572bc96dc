"""Scripts that are written without spaces between words."""

# Scripts that are commonly written without spaces between words. Line_Break=SA ("complex context") is
# Unicode's name for those of South East Asia that need a dictionary for it; the others are added by name.
_SYLLABIC = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Yi}\p{Script=Tangut}\p{Script=Nushu}"
)
UNSPACED = _SYLLABIC + (
    r"\p{Line_Break=SA}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tai_Le}"
    r"\p{Script=New_Tai_Lue}\p{Script=Tai_Tham}\p{Script=Tai_Viet}\p{Script=Tibetan}\p{Script=Javanese}"
    r"\p{Script=Balinese}\p{Script=Batak}\p{Script=Buginese}\p{Script=Makasar}\p{Script=Kawi}\p{Script=Rejang}"
)
"""The inside of a character class of module `regex`: letters of such scripts."""

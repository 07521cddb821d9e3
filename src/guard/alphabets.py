"""Whether a word with look-alike letters is simply a word of another language: then it is what it says.

`сор` is Russian for litter, and looks like `cop`. It is Russian when its letters all belong to one alphabet and the
words around it are Russian too; between English words it is a disguise. `pаssword` with one Cyrillic letter fits no
alphabet, and is one anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from guard.confusables import look_alike

REACH = 48
"""Canonical characters on either side in which a word's company is looked for."""
MAX_FLAGS = 4
"""Letters of flags that may stand together: no rule is read out of the flags of two countries."""

_ASCII = frozenset("abcdefghijklmnopqrstuvwxyz")
_WORD = re.compile(r"[^\W\d_]+")

_LATIN = {  # language: its letters beyond ASCII, and those of ASCII that its own words do not have
    "Albanian": ("çë", "w"),
    "Azerbaijani": ("çəğıöşü", "w"),
    "Catalan": ("àçéèíïóòúü", "kw"),
    "Croatian": ("čćđšž", "qwxy"),
    "Czech": ("áčďéěíňóřšťúůýž", "qw"),
    "Danish, Norwegian": ("åæøéóò", "qw"),
    "Dutch": ("éèëïóöü", ""),
    "Estonian": ("äõöüšž", "qwxy"),
    "French": ("àâæçéèêëîïôœùûüÿ", ""),
    "German": ("äöüß", ""),
    "Hungarian": ("áéíóöőúüű", "qw"),
    "Icelandic": ("áæðéíóöþúý", "qwz"),
    "Irish": ("áéíóú", "jkqwxz"),
    "Italian": ("àèéìíîòóùú", "jkwxy"),
    "Latvian": ("āčēģīķļņšūž", "qwxy"),
    "Lithuanian": ("ąčęėįšųūž", "qwx"),
    "Polish": ("ąćęłńóśźż", "qvx"),
    "Portuguese": ("áàâãçéêíóôõúü", "kw"),
    "Romanian": ("ăâîșțşţ", "qw"),
    "Slovak": ("áäčďéíĺľňóôŕšťúýž", "qw"),
    "Spanish": ("áéíñóúü", "kw"),
    "Swedish, Finnish": ("åäöé", "qw"),
    "Turkish": ("âçğıöşü", "qwx"),
    "Vietnamese": (
        "àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ",
        "fjwz",
    ),
    "Welsh": ("âêîôûŵŷäëïöüáéíóúẃý", "kqvxz"),
}
_OTHERS = (
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",  # Russian, Bulgarian
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",  # Ukrainian
    "абвгдеёжзійклмнопрстуўфхцчшыьэюя",  # Belarusian
    "абвгдђежзијклљмнњопрстћуфхцчџш",  # Serbian
    "абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ",  # Macedonian
    "аәбвгғдеёжзийкқлмнңоөпрстуұүфхһцчшщъыіьэюя",  # Kazakh
    "абвгдеёжзийклмнңоөпрстуүфхцчшщъыьэюя",  # Kyrgyz, Mongolian
    "абвгғдеёжзиӣйкқлмнопрстуӯфхҳцчҷшъэюя",  # Tajik
    "абвгдеёжзийклмнопрстуўфхцчшъэюяқғҳ",  # Uzbek
    "аәбвгдеёжҗзийклмнңоөпрстуүфхһцчшщъыьэюя",  # Tatar
    "αάβγδεέζηήθιίϊΐκλμνξοόπρστυύϋΰφχψωώ",  # Greek
)


@dataclass(frozen=True, slots=True)
class _Alphabet:
    """`telling`: letters that say that a word with them is of this alphabet, and no disguise."""

    letters: frozenset[str]
    telling: frozenset[str]

    def has(self, word: frozenset[str]) -> bool:
        return word <= self.letters

    def tells(self, word: frozenset[str]) -> bool:
        return not self.telling.isdisjoint(word)


@dataclass(frozen=True, slots=True)
class _Script:
    """The same, of all letters of a script beyond ASCII. To list them would take 40 milliseconds, of which an event
    loop has none."""

    name: str

    def has(self, word: frozenset[str]) -> bool:
        return all(map(self._is_letter, word))

    def tells(self, word: frozenset[str]) -> bool:
        look = look_alike()
        return any(self._is_letter(one) and not look(one) for one in word)

    def _is_letter(self, one: str) -> bool:
        return "\x80" <= one < "\U00020000" and one.isalpha() and script(one) == self.name


@cache
def alphabets() -> tuple[_Alphabet, ...]:
    look = look_alike()
    latin = (_Alphabet((_ASCII - set(missing)) | set(own), frozenset(own)) for own, missing in _LATIN.values())
    others = (_Alphabet(frozenset(own), frozenset(one for one in own if not look(_bare(one)))) for own in _OTHERS)
    return (*latin, *others)


@cache
def letters_in_use() -> frozenset[str]:
    return frozenset(one for alphabet in alphabets() for one in alphabet.letters)


def is_at_home(plain: str, start: int, end: int) -> bool:
    """Whether what looks like a rule's words at `start` is at home in the text around it. `plain` is canonical text
    before look-alikes are replaced; no more than REACH characters on either side of the match decide."""
    left, right = plain[max(0, start - REACH) : start], plain[end : end + REACH]
    if any("\U0001f1e6" <= one <= "\U0001f1ff" for one in plain[start:end]):
        return end - start <= MAX_FLAGS
    if any(not one.isascii() and not one.isalpha() for one in plain[start:end]):
        return False  # letters in boxes belong to no language
    before, own_left = _cut(left, -1)
    after, own_right = _cut(right, 1)
    own = _WORD.findall(own_left + plain[start:end] + own_right)
    company = [one for one in (*_words(before, whole=len(left) < REACH), *_words(after, whole=True)) if one not in own]
    foreign = [one for one in own if not one.isascii()]
    if not foreign:
        return _among_latin_words(company)
    letters = frozenset("".join(foreign))
    return any(_keeps_company(one, company) for one in _homes(letters))


def _cut(side: str, direction: int) -> tuple[str, str]:
    """A side of a match without the letters that belong to the match's own word, and these. The last word on the right
    is left out where it may go on beyond what is looked at."""
    if direction < 0:
        at = len(side)
        while at and is_word_character(side[at - 1]):
            at -= 1
        return side[:at], side[at:]
    at, stop = 0, len(side)
    while at < stop and is_word_character(side[at]):
        at += 1
    if stop == REACH:
        while stop > at and is_word_character(side[stop - 1]):
            stop -= 1
    return side[at:stop], side[:at]


def _words(side: str, *, whole: bool) -> Sequence[str]:
    found = _WORD.findall(side)
    return found if whole or not side or not is_word_character(side[0]) else found[1:]


def _homes(letters: frozenset[str]) -> Iterator[_Alphabet | _Script]:
    known = False
    for alphabet in alphabets():
        if alphabet.has(letters):
            known = True
            yield alphabet
    scripts = {script(one) for one in letters}
    if not known and len(scripts) == 1 and not scripts & {"LATIN", "CYRILLIC", "GREEK"}:
        yield _Script(scripts.pop())


def _keeps_company(alphabet: _Alphabet | _Script, company: Sequence[str]) -> bool:
    sets = [frozenset(one) for one in company]
    alien = sum(not alphabet.has(one) for one in sets)
    telling = sum(alphabet.has(one) and alphabet.tells(one) for one in sets)
    return 0 < telling >= alien


def _among_latin_words(company: Sequence[str]) -> bool:
    """ASCII is at home where other words are ASCII, or where there are none."""
    latin = sum(one.isascii() for one in company)
    return latin >= len(company) - latin


def is_word_character(character: str) -> bool:
    """Letters, digits, the underscore, and marks, which belong to their letter."""
    return character == "_" or character.isalnum() or unicodedata.category(character)[0] == "M"


@cache
def script(character: str) -> str:
    """The first word of the character's name: its script, of a letter."""
    return unicodedata.name(character, "?").split()[0]


@cache
def _bare(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0]

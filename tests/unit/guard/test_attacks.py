"""A rule's words however they are spelled; and, beside each spelling, texts that only resemble it and must pass."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest

from guard.compiled import compile_rules
from guard.prompts import InputGuard
from guard.rules import PatternType, Rule

PHRASES = ("password", "credit card", "ignore previous instructions", "hack")
CYRILLIC = dict(zip("aceopxyisjkbhtmrdw", "асеорхуіѕјквнтмгԁԝ", strict=True))
GREEK = dict(zip("aoviupkxtye", "αονιυρκχτγε", strict=True))
GREEK_CAPITALS = dict(zip("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", strict=True))


def guard(*patterns: str, kind: str = "contains") -> InputGuard:
    return compile_rules([Rule(f"r{at}", "why", PatternType(kind), one) for at, one in enumerate(patterns)]).input


def between(joint: str) -> Callable[[str], str]:
    return joint.join


def letters(table: dict[str, str]) -> Callable[[str], str]:
    return lambda phrase: "".join(table.get(one, one) for one in phrase)


def first_letter(table: dict[str, str]) -> Callable[[str], str]:
    def spelled(phrase: str) -> str:
        at = next(at for at, one in enumerate(phrase) if one in table)
        return phrase[:at] + table[phrase[at]] + phrase[at + 1 :]

    return spelled


def shifted(first: int) -> Callable[[str], str]:
    """Each ASCII letter by the one at its place in another block of the alphabet."""
    return lambda phrase: "".join(chr(first + ord(one) - 97) if one.isalpha() else one for one in phrase)


SMALL_CAPITALS = dict(zip("abcdeghijklmnoprstuvwz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡᴢ", strict=True))
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "mixed case": lambda phrase: "".join(one.upper() if at % 2 else one for at, one in enumerate(phrase)),
    "zero-width space": between("\u200b"),
    "zero-width joiner": between("\u200d"),
    "zero-width non-joiner": between("\u200c"),
    "byte order mark": between("\ufeff"),
    "word joiner": between("\u2060"),
    "combining grapheme joiner": between("\u034f"),
    "soft hyphen": between("\u00ad"),
    "right-to-left override": between("\u202e"),
    "bidi isolates": lambda phrase: "".join(f"\u2066{one}\u2069" for one in phrase),
    "tags": between("\U000e0061"),
    "variation selectors": between("\ufe0f"),
    "more variation selectors": between("\U000e0101"),
    "Hangul filler": between("\u3164"),
    "control characters": between("\x01"),
    "twenty of them": between("\u200b\u2060" * 10),
    "acute behind each letter": lambda phrase: "".join(f"{one}\u0301" for one in phrase),
    "one precomposed letter": letters({"a": "á"}),
    "overlay behind each letter": lambda phrase: "".join(f"{one}\u0336" for one in phrase),
    "a heap of marks": lambda phrase: "".join(f"{one}\u0301\u0323\u0336\u035c\u20dd" for one in phrase),
    "Arabic marks on Latin letters": between("\u064e"),
    "full-width": shifted(0xFF41),
    "mathematical bold": shifted(0x1D41A),
    "mathematical monospace": shifted(0x1D68A),
    "circled": shifted(0x24D0),
    "negative circled": shifted(0x1F150),
    "negative squared": shifted(0x1F170),
    "small capitals": letters(SMALL_CAPITALS),
    "Cyrillic throughout": letters(CYRILLIC),
    "one Cyrillic letter": first_letter(CYRILLIC),
    "Greek throughout": letters(GREEK),
    "one Greek letter": first_letter(GREEK),
    "Greek capitals": lambda phrase: letters(GREEK_CAPITALS)(phrase.upper()),
    "long s": letters({"s": "ſ"}),
    "Kelvin sign": letters({"k": "\u212a"}),
    "dotless i": letters({"i": "ı"}),
    "dotted I": letters({"i": "İ"}),
    "strokes and hooks": letters({"a": "ⱥ", "o": "ø", "d": "đ", "h": "ħ", "k": "ƙ", "p": "ᵽ"}),
    "no-break and ideographic spaces": lambda phrase: phrase.replace(" ", "\u00a0\u3000"),
    "line breaks": lambda phrase: phrase.replace(" ", " \n\t\u2028 "),
    "Braille blank": lambda phrase: phrase.replace(" ", "\u2800"),
    "base64": lambda phrase: base64.b64encode(f"the {phrase}".encode()).decode(),
    "base64 without padding": lambda phrase: base64.b64encode(phrase.ljust(8).encode()).decode().rstrip("="),
    "base64 of look-alikes": lambda phrase: base64.urlsafe_b64encode(letters(CYRILLIC)(phrase).encode()).decode(),
    "percent-encoded": lambda phrase: "".join(f"%{ord(one):02x}" for one in phrase),
    "partly percent-encoded": lambda phrase: urllib.parse.quote(phrase.replace("a", "á")),
    "character references": lambda phrase: "".join(f"&#{ord(one)};" for one in phrase),
    "base64 in lines": lambda phrase: base64.encodebytes(
        f"tell me all about the {phrase}, please, {'now ' * 20}".encode()
    ).decode(),
    "hexadecimal": lambda phrase: phrase.ljust(8).encode().hex(),
    "hexadecimal with spaces": lambda phrase: phrase.ljust(8).encode().hex(" ").upper(),
    "hexadecimal as in programs": lambda phrase: ", ".join(f"0x{ord(one):02x}" for one in phrase.ljust(8)),
    "percent-encoded twice": lambda phrase: "".join(f"%25{ord(one):02x}" for one in phrase),
    "quoted-printable": lambda phrase: "".join(f"={ord(one):02X}" for one in phrase),
    "quoted-printable in lines": lambda phrase: f"{phrase[:2]}=\n{phrase[2:]}",
    "one letter quoted-printable": lambda phrase: f"={ord(phrase[0]):02X}{phrase[1:]}",
    "one letter quoted-printable in a word": lambda phrase: "".join(
        f"={ord(one):02X}" if at == 1 and len(phrase) > 4 else one for at, one in enumerate(phrase)
    ),
    "Braille blank in a word": lambda phrase: f"{phrase[:2]}\u2800{phrase[2:]}",
    "tags between letters": lambda phrase: f"{phrase[0]}<b>{phrase[1]}</b><span class='x'>{phrase[2:]}</span>",
    "a comment between letters": lambda phrase: f"{phrase[:2]}<!-- no -->{phrase[2:]}",
    "emphasis": lambda phrase: f"{phrase[0]}**{phrase[1]}**{phrase[2:]}",
    "hyphenated": lambda phrase: f"{phrase[:2]}-\n{phrase[2:]}",
    "references without an end": lambda phrase: "".join(f"&#{ord(one)}" for one in phrase),
    "octal escapes": lambda phrase: "".join(f"\\{ord(one):03o}" for one in phrase),
    "long escapes": lambda phrase: "".join(f"\\U{ord(one):08x}" for one in phrase),
    "a part from right to left": lambda phrase: f"{phrase[0]}\u202e{phrase[:0:-1]}\u202c",
    "a Ukrainian letter": letters({"e": "є", "a": "а"}),
    "base64 behind a path": lambda phrase: f"/api/v1/{base64.b64encode(phrase.ljust(8).encode()).decode()}",
    "hexadecimal with hyphens": lambda phrase: phrase.ljust(8).encode().hex("-"),
    "base64 with what cannot be seen": lambda phrase: "\u200b".join(
        base64.b64encode(phrase.ljust(8).encode()).decode()
    ),
    "base64 with control characters": lambda phrase: "\x01".join(base64.b64encode(phrase.ljust(8).encode()).decode()),
    "hexadecimal with what cannot be seen": lambda phrase: "\u2060".join(phrase.ljust(8).encode().hex()),
    "as a form sends it": lambda phrase: f"%{ord(phrase[0]):02x}{phrase[1:].replace(' ', '+')}",
    "lines of a page": lambda phrase: phrase.replace(" ", "<br/>\n") + "<wbr>",
    "cells of a page": lambda phrase: phrase.replace(" ", "</td><td class='x'>"),
    "escaped pairs": lambda phrase: json.dumps(shifted(0x1D41A)(phrase)),
    "long names of characters": lambda phrase: (
        f"{phrase[0]}&ZeroWidthSpace;{phrase[1:].replace(' ', '&NonBreakingSpace;')}"
    ),
    "a name without an end": lambda phrase: f"{phrase[0]}&shy{phrase[1:].replace(' ', '&nbsp')}",
    "letters apart, words further": lambda phrase: "   ".join(map(" ".join, phrase.split())),
    "letters apart, spaces between words": lambda phrase: " ".join(map("-".join, phrase.split())),
    "a deleted nothing": lambda phrase: f"{phrase[:2]}<del></del>{phrase[2:]}",
    "from right to left": lambda phrase: f"\u202e{phrase[::-1]}\u202c",
    "tag characters alone": lambda phrase: "".join(chr(0xE0000 + ord(one)) for one in phrase),
    "tag characters behind a flag": lambda phrase: (
        "\U0001f3f4" + "".join(chr(0xE0000 + ord(one)) for one in f"{phrase:7}")
    ),
    "escapes": lambda phrase: "".join(f"\\u{ord(one):04x}" for one in phrase),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_found_however_it_is_spelled(phrase: str, spelling: str) -> None:
    spelled = SPELLINGS[spelling](phrase)
    rules = guard(phrase)
    assert rules.judge(spelled)
    assert rules.judge(f"Please tell me about {spelled} now.")


@pytest.mark.parametrize("spelling", set(SPELLINGS) - {"negative circled", "negative squared", "circled"})
@pytest.mark.parametrize("phrase", PHRASES)
def test_a_word_is_found_however_it_is_spelled(phrase: str, spelling: str) -> None:
    assert guard(phrase, kind="word").judge(f"Please tell me about {SPELLINGS[spelling](phrase)} now.")


@pytest.mark.parametrize(
    "apart",
    [
        *("p a s s w o r d", "p-a-s-s-w-o-r-d", "p.a.s.s.w.o.r.d", "P*A*S*S*W*O*R*D", "p/a/s/s/w/o/r/d"),
        *("p, a, s, s, w, o, r, d", "p  a  s  s  w  o  r  d", "p\na\ns\ns\nw\no\nr\nd", "p~a+s:s;w,o.r_d"),
        *(
            "p\u00b7a\u00b7s\u00b7s\u00b7w\u00b7o\u00b7r\u00b7d",
            "\uff50 \uff41 \uff53 \uff53 \uff57 \uff4f \uff52 \uff44",
            "\u0440 \u0430 s s w \u043e r d",
        ),
        *("(p)(a)(s)(s)(w)(o)(r)(d)", "p\u2014a\u2014s\u2014s\u2014w\u2014o\u2014r\u2014d"),
    ],
)
def test_letters_that_stand_apart_are_put_together(apart: str) -> None:
    assert guard("password").judge(f"tell me the {apart} of it")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (r"\bssn\s*\d{3}", "\u0455\u0455n\u200b  123"),
        (r"\bssn\s*\d{3}", "SSN ١٢٣"),
        (r"ignore (all )?previous", "\uff49\uff47\uff4e\uff4f\uff52\uff45 рrеvіоuѕ"),
        (r"ignore (all )?previous", base64.b64encode(b"now IGNORE all previous words").decode()),
    ],
)
def test_an_expression_sees_the_canonical_form_too(expression: str, text: str) -> None:
    assert guard(expression, kind="regex").judge(text)


@pytest.mark.parametrize(
    ("kind", "pattern", "text"),
    [
        ("word", "cat", "concatenate the cats, category_1 and cat_2"),
        ("word", "cat", "un cát\u0101logo"),
        ("word", "hack", "hackathon, shack, \u0445\u0430\u043a\u0430\u0442\u043e\u043d"),
        ("word", "\u0915\u092e", "\u0915\u092e\u0940"),
        ("contains", "gbeng", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f scored"),
        ("contains", "credit card", "a credit was given; the card is red"),
        ("contains", "credit card", "credit\u2026 card"),
        ("contains", "cop", "Дворник убирает сор во дворе, потом отдыхает."),
        ("contains", "cop", "Сколько стоит вывезти сор?"),
        ("contains", "pop", "Поп читает проповедь, прихожане слушают."),
        ("contains", "hack", "Насколько хороша ваша касса?"),
        ("contains", "tok", "Сьогодні в новинах: електричний ток і напруга"),
        ("word", "kai", "Τι κάνεις και πού πας σήμερα;"),
        ("word", "to", "Πού είναι το τρένο για την Αθήνα;"),
        ("word", "sik", "Bunu çok sık soruyorlar, değil mi?"),
        ("contains", "sik", "Çok büyük bir sıkıntı var"),
        ("word", "kiz", "Şu kız öğretmen mi?"),
        ("word", "ano", "¿Qué año es?"),
        ("word", "ano", "Feliz año nuevo para los niños"),
        ("word", "мой", "мои друзья пришли домой вчера"),
        ("word", "cop", "The Greek and Cyrillic letters differ"),
        ("contains", "сор", "the cop asked me a question"),
        ("contains", "сор", "cop"),
        ("contains", "de", "Fans from \U0001f1e9\U0001f1ea and \U0001f1eb\U0001f1f7"),
        ("contains", "family", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f"),
        ("contains", "password", "the commit 5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8, UUIDs, identifiers"),
        ("contains", "password", "internationalisation/localisation of Straßenbahnhaltestellen at 100% or 5%"),
        ("contains", "abc", "plan a, b or c; A B and C"),
        ("contains", "abc", "a*b, c and a*b + c*d"),
        ("contains", "password", "<li>pass</li><li>word</li>, boarding pass<br>word of mouth"),
        ("contains", "password", "the boarding pass\nword of mouth"),
        ("contains", "dog", "<ul><li>do</li><li>go</li></ul> <p>do</p>g"),
        ("contains", "c plus", "100% of C+plus+, a+b"),
        ("contains", "resign", "please re - sign it"),
        ("contains", "card", "2023-01-02 12:34:56:78:90:12:34:56 00:1A:2B:3C:4D:5E"),
        ("contains", "hack", "x=ha&y=ck a=20&b=30, see C:\\hazel\\new\\cellar"),
        ("contains", "aged", "age=64, ages=[64], or at age=64 years"),
        ("contains", "erp", "font-size=72pt"),
        ("contains", "tes", "t=45s"),
        ("contains", "lore", "cpu=6core, cpu=6 cores"),
        ("contains", "apple", "a\u2800pp le"),
        ("word", "hit", "with\u2800it\u2800in mind"),
        ("contains", "\u2813\u2811\u2807", "\u2813\u2811\u2800\u2807\u2815"),
        ("contains", "endstart", "the end\n\u2800\nstart"),
        ("contains", "the", "74 68 65 and the".replace("the", "UUID 123e4567-e89b-12d3-a456-426614174000")),
        ("contains", "\u0430\u043e", "\u0411\u0443\u043a\u0432\u044b \u0430, \u0438, \u043e, \u0443 \u0438 \u0430"),
        ("contains", "pope", "Это слово читается по буквам: р о р е, и ещё раз, не спеша."),
        ("contains", "cat", "Сколько лет: с 1 а 2 т, это таблица."),
        ("word", "see", "ε, ε, σ"),
        ("contains", "ee", "Την έβλεπε εεεε και έφυγε."),
        ("contains", "hack", "see src/handlers/api/v2/internals and docs/Chapters/Backups"),
        ("contains", "me now", "https://example.org/?q=R&shyness=2&nbspace=1"),
        ("regex", r"\bcop\b", "Дворник убирает сор во дворе, потом отдыхает."),
        ("contains", "lol", "\u05d0\u05e0\u05d9 \u05e8\u05d5\u05e6\u05d4 \u05dc\u05e1\u05d5\u05e2"),
    ],
)
def test_a_benign_twin_passes(kind: str, pattern: str, text: str) -> None:
    assert guard(pattern, kind=kind).judge(text) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("cop", "I met a сор on the street"),
        ("сор", "Дворник убирает СОР"),
        ("сор", "Дворник убирает c\u043eр во дворе"),
        ("сор", "с\u0301о\u0301р\u0301"),
        ("ещё", "а еще что"),
        ("contraseña", "dime la contrasena"),
        ("contraseña", "DIME LA CONTRASEN\u0303A"),
        ("κωδικός", "ΠΟΙΟΣ ΕΙΝΑΙ Ο ΚΩΔΙΚΟΣ"),
        ("κωδικός", "ο κωδικ\u03bf\u0301ς"),
        ("νόμος", "ΝΌΜΟΣ"),
        ("istanbul", "İSTANBUL"),
        ("straße", "STRASSE"),
        ("пароль", "скажи п-а-р-о-л-ь"),
        ("пароль", "скажи п а р о л ь"),
        ("κωδικός", "κ.ω.δ.ι.κ.ό.ς"),
        ("비밀번호", "비 밀 번 호"),
        ("パスワード", "ﾊﾟｽﾜｰﾄﾞ"),
        ("비밀번호", "\u1107\u1175\u1106\u1175\u11af\u1107\u1165\u11ab\u1112\u1169"),
        ("كلمة", "كَلِمَـــة"),
    ],
)
def test_rules_in_other_languages_hold_too(pattern: str, text: str) -> None:
    assert guard(pattern).judge(text)


def test_the_first_rule_in_the_tenants_order_is_named_whatever_stands_first_in_the_text() -> None:
    rules = guard("zebra", "a", "zeb")
    verdict = rules.judge("a zebra")
    assert verdict
    assert verdict.rule_id == "r0"
    assert "zebra" not in repr(verdict)

"""What an export is compared on with its reference: questions, passages, scripts, what is empty, what is too long."""

from __future__ import annotations

CHECK_TEXTS: tuple[str, ...] = (
    "What does a litre of milk cost?",
    "opening hours",
    "HOW DO I RESET MY PASSWORD",
    "Wann fährt der letzte Zug nach Köln, und wo muss ich umsteigen?",
    "¿Dónde puedo renovar el pasaporte?",
    "Когда открывается библиотека по воскресеньям?",
    "図書館は何時に開きますか。",
    "متى يفتح المتحف أبوابه؟",
    "def area(r: float) -> float:\n    return 3.14159 * r ** 2\n",
    "Invoice 2024-0117, 3 x 19.90 EUR, due 31/01/2025; IBAN DE00 0000 0000 0000 0000 00.",
    "  spaces before,\tbetween   and\n\nafter  ",
    "a",
    "🙂 thanks!",
    (
        "The telescope was pointed at Saturn, whose rings are made of ice and dust. Seen from the side they all but "
        "vanish, as they are a few dozen metres thick, while from above they reach further than the moon is from us."
    ),
    (
        "Returns are taken within thirty days of delivery. The article must be unused and in its packing; the cost "
        "of sending it back is ours where it was faulty, and the customer's where it was not. Money is paid back the "
        "way it came, within five working days of the parcel's arrival. Gift cards and opened software stay sold."
    ),
    "Everything that stands behind the window is cut off, by both in the same place. " * 60,
)
"""Short texts and rare scripts are quantized worst: what passes on these does better on documents."""

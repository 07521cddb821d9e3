"""What is found, and what looks like it and is left alone."""

from __future__ import annotations

import uuid
from hashlib import sha256

import pytest

from guard.kinds import Kind
from guard.redaction import Redactor, Span
from guard.telephone import region_of

EVERYTHING = Redactor(Kind, region="US")
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # of the AWS documentation
FULL_WIDTH_CARD = "4111 1111 1111 1111".translate({ord(digit): ord(digit) + 0xFEE0 for digit in "14"})


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to alice@example.com.", "Write to [EMAIL]."),
        ("<alice.b+news@mail.example.co.uk>, bob_1@x.de", "<[EMAIL]>, [EMAIL]"),
        ("mailto:ALICE@EXAMPLE.COM?subject=x", "mailto:[EMAIL]?subject=x"),
        ("o'hara@example.com 'bob@example.com'", "[EMAIL] '[EMAIL]'"),
        ("müller@exämple.de", "[EMAIL]"),
        ("请联系alice@example.com谢谢", "请联系[EMAIL]谢谢"),
        ("alice\uff20example\uff0ecom", "[EMAIL]"),
        ("deploy@web1.example.com", "[EMAIL]"),
        ("a@b.co@c.co", "[EMAIL][EMAIL]"),
        ("alice@example.com\nbob@example.com", "[EMAIL]\n[EMAIL]"),
        ("card 4111 1111 1111 1111 12/27 123", "card [CARD] 12/27 123"),
        ("4111111111111111,123", "[CARD],123"),
        (
            r'{"a":"Hi,\nalice@example.com\n4111111111111111\tAKIAIOSFODNN7EXAMPLE"}',
            r'{"a":"Hi,\n[EMAIL]\n[CARD]\t[AWS_KEY]"}',
        ),
        (
            r"call\t+1 202 555 0123\r10.0.0.1\nDE89370400440532013000\nsk-proj-abcDEF0123456789_abc-DEF",
            r"call\t[PHONE]\r[IP_ADDRESS]\n[IBAN]\n[API_KEY]",
        ),
        (r"postgresql://atrium:hun\nter2@db/atrium", "postgresql://atrium:[API_KEY]@db/atrium"),
        ("4111-1111-1111-1111", "[CARD]"),
        ("5500005555555559 378282246310005 3782 822463 10005", "[CARD] [CARD] [CARD]"),
        (FULL_WIDTH_CARD, "[CARD]"),
        ("4111\u00a01111\u00a01111\u00a01111", "[CARD]"),
        ("卡号4111111111111111号", "卡号[CARD]号"),
        ("7 4111 1111 1111 1111 7", "7 [CARD] 7"),
        ("IBAN DE89 3704 0044 0532 0130 00 and", "IBAN [IBAN] and"),
        ("GB82WEST12345698765432.", "[IBAN]."),
        ("gb82 west 1234 5698 7654 32", "[IBAN]"),
        ("FR14-2004-1010-0505-0001-3M02-606", "[IBAN]"),
        ("key AKIAIOSFODNN7EXAMPLE here", "key [AWS_KEY] here"),
        (f'aws_secret_access_key = "{AWS_SECRET}"', 'aws_secret_access_key = "[AWS_KEY]"'),
        (f"and {AWS_SECRET}.", "and [AWS_KEY]."),
        ("secret_key=" + "a" * 20 + "b" * 20, "secret_key=[AWS_KEY]"),
        ("sk-proj-abcDEF0123456789_abc-DEF", "[API_KEY]"),
        ("sk-ant-api03-" + "aB3" * 30 + "!", "[API_KEY]!"),
        ("ghp_" + "a1B2" * 9, "[API_KEY]"),
        ("xoxb-123456789012-abcdefABCDEF", "[API_KEY]"),
        ("sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc", "[API_KEY]"),
        ("AIza" + "Sy0_-" * 7, "[API_KEY]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl", "[API_KEY]"),
        ("Authorization: Bearer abcdef0123456789xyz", "Authorization: Bearer [API_KEY]"),
        ('"api_key": "0123456789abcdef0123"', '"api_key": "[API_KEY]"'),
        ("postgresql://atrium:hunter2@db/atrium", "postgresql://atrium:[API_KEY]@db/atrium"),
        ("from 203.0.113.7:8080, 10.0.0.0/8.", "from [IP_ADDRESS]:8080, [IP_ADDRESS]/8."),
        ("root@10.0.0.1 http://192.168.1.20/x ip=10.0.0.3", "root@[IP_ADDRESS] http://[IP_ADDRESS]/x ip=[IP_ADDRESS]"),
        ("10.0.0.1-10.0.0.9", "[IP_ADDRESS]-[IP_ADDRESS]"),
        ("[2001:db8::1]:443 fe80::1%eth0", "[[IP_ADDRESS]]:443 [IP_ADDRESS]%eth0"),
        ("addr:2001:db8::ff00:42:8329: no", "addr:[IP_ADDRESS]: no"),
        ("::ffff:10.0.0.1 0:0:0:0:0:ffff:10.0.0.2", "[IP_ADDRESS] [IP_ADDRESS]"),
        ("secret=aaaaaaaaaa/bbbbbbbbbb/cccccccccc/ddddddd", "secret=[AWS_KEY]"),
    ],
)
def test_personal_data_and_credentials_become_their_placeholders(text: str, redacted: str) -> None:
    assert EVERYTHING.redact(text) == redacted


@pytest.mark.parametrize(
    ("region", "text", "redacted"),
    [
        (None, "+49 30 1234567, +442071838750", "[PHONE], [PHONE]"),
        (None, "+1 555 123 4567 (fiction)", "[PHONE] (fiction)"),
        (None, "+44 (0)20 7183 8750", "[PHONE]"),
        (None, "tel:+1-202-555-0123", "tel:[PHONE]"),
        (None, "(202) 555-0123 or 202-555-0123 or 555.123.4567", "[PHONE] or [PHONE] or [PHONE]"),
        (None, "030 1234567", "030 1234567"),
        ("US", "202 555 0123", "[PHONE]"),
        ("US", "1-800-555-0199, 1 (202) 555-0123", "[PHONE], [PHONE]"),
        ("US", "202-555-0123 202-555-0124", "[PHONE] [PHONE]"),
        ("US", "call 2025550123", "call [PHONE]"),
        ("US", "call me at 555-0123", "call me at [PHONE]"),
        ("DE", "Tel. 030/1234567, 0171 1234567", "Tel. [PHONE], [PHONE]"),
        ("DE", "03012345678", "[PHONE]"),
        ("FR", "01 23 45 67 89 ou 01.23.45.67.89", "[PHONE] ou [PHONE]"),
        ("ES", "612 345 678", "[PHONE]"),
        ("GB", "020 7183 8750", "[PHONE]"),
        ("IN", "मेरा नंबर ९८७६५ ४३२१० है", "मेरा नंबर [PHONE] है"),
        ("XX", "+49 30 1234567", "[PHONE]"),
    ],
)
def test_a_telephone_number_is_found_in_its_region_or_with_its_country_code(
    region: str | None, text: str, redacted: str
) -> None:
    assert Redactor(["phone"], region).redact(text) == redacted


REGIONS = ("US", "DE", "FR", "ES", "DK", "IN", "GB", "RU", None)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4, v1.2.3.4, nginx-1.2.3.4, openssl==1.1.1.1, release 10.0.0.1",
        "section 1.2.3.4; OID 1.3.6.1.4.1.311; Chrome/120.0.0.0; 1.2.3.4.tar.gz; upgrade to 2.0.0.1",
        "256.1.1.1 and 999.999.999.999 and 1.2.3 and 01.2.3",
        "127.0.0.1:8081, 0.0.0.0, ::1",
        "std::vector a::b Foo::Bar2 12:30:45 00:1a:2b:3c:4d:5e",
        "2024-01-15, 2024-01-15T10:30:45Z, 15.01.2024, 1/15/2024, 20240115, 2024-01-15 10:30:45.123",
        "from 1999-2004 to 2010, pages 123-456",
        "order 4829103847, order 2025550123, invoice 20240001, #1234567890, ticket no. 202-555-0123",
        "tracking number 1Z999AA10123456784",
        "a commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "sha256 " + sha256(b"x").hexdigest() + " md5 d41d8cd98f00b204e9800998ecf8427e",
        "550e8400-e29b-41d4-a716-446655440000 12345678-1234-1234-1234-123456789012",
        "3.99, $1,299.00, 1.234.567,89 EUR, $2025550123, 12 345 678 €, 0.4111111111111111",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, ISSN 2049-3630, 9783161484100",
        "4111 1111 1111 1112 and 4111111111111112 and 1234567890123456",
        "1700000000000000 1700000000 ports 8080 5432 6379",
        "14:30, 14.30 Uhr, 3:45 pm, 50%",
        "user@host, ssh root@localhost, git@github.com:org/repo.git, icon@2x.png, @types/node@18.0.0, @app.route",
        "react@18.3.0-rc.dev pkg@1.2.3",
        "a@b, @, x@@y, @example.com",
        "DE89 3704 1044 1532 1130 01, DE00, AB12 CDEF, AT 12 or NO 47",
        "sk-learn, sk-short, AKIA, AKIASHORT, key-value, SKU-12345, ACME, the api_key is missing",
        "api_key = os.environ['KEY'], token=None, Bearer token",
        "src/components/Buttons/PrimaryButton/Large2",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "0 1 1 2 3 5 8 13 21 34 55 89 144 233 377 610 987",
        "3.14159265358979 2.718281828459045 6.022e23",
        "x = 5 + 1234567 - 89; 10 - 20 - 30",
        "https://example.com/a/b?id=42#top",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str, region: str | None) -> None:
    assert Redactor(Kind, region).redact(text) == text


def test_random_ids_of_our_own_are_left_alone() -> None:
    for number in range(300):
        made = uuid.UUID(bytes=sha256(str(number).encode()).digest()[:16])
        for text in (str(made), made.hex, sha256(made.bytes).hexdigest()[:40], f"doc-{made.hex[:12]}#{number}"):
            assert EVERYTHING.redact(text) == text


def test_only_the_kinds_that_were_asked_for_are_looked_for() -> None:
    text = "alice@example.com 4111111111111111"
    assert Redactor(["card"]).redact(text) == "alice@example.com [CARD]"
    assert Redactor([]).redact(text) == text
    assert not Redactor([])


def test_a_kind_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="shoe_size"):
        Redactor(["shoe_size"])


def test_spans_say_where_in_the_text_as_it_was_given() -> None:
    assert EVERYTHING.spans("é😀 a@b.co!") == (Span(3, 9, "[EMAIL]"),)


def test_half_a_surrogate_pair_and_control_characters_do_no_harm() -> None:
    assert EVERYTHING.redact("\ud800 \x00 a@b.co \udfff") == "\ud800 \x00 [EMAIL] \udfff"


@pytest.mark.parametrize(
    ("locale", "region"), [("en-US", "US"), ("de", None), ("zh-Hant-TW", "TW"), ("de-at", "AT"), ("en-XX", None)]
)
def test_the_region_is_that_of_the_locale(locale: str, region: str | None) -> None:
    assert region_of(locale) == region

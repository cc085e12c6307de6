"""What there is to find in texts: e-mail addresses, card numbers, IBANs, telephone numbers, and texts that are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routing.shipped.scanner import Finder

_LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017e"
_SPACES = " \u00a0-"

Check = Callable[[str, int, int], int]


@dataclass(frozen=True)
class Pattern:
    """``whole`` matches a thing; ``begun``, which ends at the end of the text, what could become one, and is at most
    ``width`` long. ``check`` tells where a thing really ends, 0 for nowhere."""

    name: str
    whole: re.Pattern[str]
    begun: re.Pattern[str]
    width: int
    check: Check | None = None

    def find(self, text: str, at: int) -> tuple[int, int] | None:
        while match := self.whole.search(text, at):
            start, end = match.span()
            if self.check is not None:
                end = self.check(text, start, end)
            if end > start:
                return start, end
            at = start + 1
        return None

    def opens(self, text: str, at: int) -> int:
        match = self.begun.search(text, max(at, len(text) - self.width))
        return len(text) if match is None else match.start()


# ---------------------------------------------------------------- e-mail

_LOCAL = re.compile(rf"[{_LETTERS}0-9.!#$&'*+/=?^_`{{|}}~%-]")
_LABEL = rf"[{_LETTERS}0-9](?:[{_LETTERS}0-9-]{{0,61}}[{_LETTERS}0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.){{1,8}}[{_LETTERS}]{{2,24}}")
_DOMAIN_BEGUN = re.compile(rf"[{_LETTERS}0-9.-]{{0,540}}\Z")
_LONGEST_LOCAL = 64


class Email:
    """Addresses are found from their ``@``: at most 64 characters before it, and a name with a dot after it."""

    name = "EMAIL"

    def find(self, text: str, at: int) -> tuple[int, int] | None:
        sign = text.find("@", at)
        while sign >= 0:
            start = _local(text, at, sign)
            if start < sign and (domain := _DOMAIN.match(text, sign + 1)):
                return start, domain.end()
            sign = text.find("@", sign + 1)
        return None

    def opens(self, text: str, at: int) -> int:
        sign = text.rfind("@", max(at, len(text) - 541))
        if sign >= 0 and _DOMAIN_BEGUN.match(text, sign + 1) and (start := _local(text, at, sign)) < sign:
            return start
        return _local(text, at, len(text))


def _local(text: str, at: int, end: int) -> int:
    """Where what can stand before an ``@`` at ``end`` begins."""
    stop = max(at, end - _LONGEST_LOCAL)
    while end > stop and _LOCAL.match(text, end - 1):
        end -= 1
    return end


# ---------------------------------------------------------------- cards


_DOUBLED = str.maketrans("0123456789", "0246813579")
_SEPARATORS = str.maketrans("", "", _SPACES)


def luhn(digits: str) -> bool:
    told = digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)
    return (sum(told.encode()) - 48 * len(told)) % 10 == 0


def _card(text: str, start: int, end: int) -> int:
    """The longest card number that begins here and ends with a group of digits."""
    digits = text[start:end].translate(_SEPARATORS)
    while len(digits) >= 13:
        if luhn(digits):
            return end
        while text[end - 1] not in _SPACES:  # its last group goes
            end -= 1
            digits = digits[:-1]
            if not digits:
                return 0
        end -= 1
    return 0


# What must not stand before a thing is looked for after its first characters: so the search skips to those.
CARD = Pattern(
    "CARD",
    re.compile(rf"[2-6](?<![0-9].)(?:[{_SPACES}]?[0-9]){{12,18}}(?![0-9])", re.DOTALL),
    re.compile(rf"[2-6](?<![0-9].)(?:[{_SPACES}]?[0-9]){{0,18}}[{_SPACES}]?\Z", re.DOTALL),
    40,
    _card,
)

# ---------------------------------------------------------------- bank accounts

_IBANS = """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20
EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20
LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25
QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"""
IBAN_LENGTHS = {each[:2]: int(each[2:]) for each in _IBANS.split()}


def _iban(text: str, start: int, end: int) -> int:
    left = IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    taken = []
    for n in range(start, end if left else start):
        if text[n].isalnum():
            taken.append(text[n].upper())
            left -= 1
            if not left:
                end = n + 1
                break
    if not taken or left or text[end : end + 1].isalnum():
        return 0
    number = "".join([*taken[4:], *taken[:4]])
    return end if int("".join(str(int(c, 36)) for c in number)) % 97 == 1 else 0


IBAN = Pattern(
    "IBAN",
    re.compile(rf"[A-Za-z]{{2}}[0-9]{{2}}(?<![A-Za-z0-9]....)(?:[{_SPACES}]?[A-Za-z0-9]){{11,30}}", re.DOTALL),
    re.compile(
        rf"(?<![A-Za-z0-9])[A-Za-z](?:[A-Za-z](?:[0-9]?|[0-9]{{2}}(?:[{_SPACES}]?[A-Za-z0-9]){{0,30}}[{_SPACES}]?))?\Z"
    ),
    68,
    _iban,
)

# ---------------------------------------------------------------- telephones

#: With a country's code and a plus; or as North America writes them.
PHONES = (
    Pattern(
        "PHONE",
        re.compile(r"\+[0-9](?:[ \u00a0()./-]{0,2}[0-9]){6,14}(?![0-9])"),
        re.compile(r"\+(?:[0-9](?:[ \u00a0()./-]{0,2}[0-9]){0,14}[ \u00a0()./-]{0,2})?\Z"),
        48,
    ),
    Pattern(
        "PHONE",
        re.compile(r"\([0-9]{3}\) ?[0-9]{3}[ .-][0-9]{4}(?![0-9])"),
        re.compile(r"\((?:[0-9][0-9) .-]{0,13})?\Z"),
        16,
    ),
    Pattern(
        "PHONE",
        re.compile(r"[0-9](?<![0-9].)[0-9]{2}[ .-][0-9]{3}[ .-][0-9]{4}(?![0-9])", re.DOTALL),
        re.compile(r"[0-9](?<![0-9].)[0-9 .-]{0,12}\Z", re.DOTALL),
        14,
    ),
)

FINDERS: dict[str, tuple[Finder, ...]] = {"iban": (IBAN,), "card": (CARD,), "email": (Email(),), "phone": PHONES}


# ---------------------------------------------------------------- known texts


class Known:
    """Texts that are known beforehand, such as the placeholders of a request."""

    name = "KNOWN"

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts, key=len, reverse=True)
        self._longest = len(self._texts[0]) if self._texts else 0
        self._whole = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")
        self._first = {text[0] for text in self._texts}

    def find(self, text: str, at: int) -> tuple[int, int] | None:
        match = self._whole.search(text, at)
        return None if match is None else match.span()

    def opens(self, text: str, at: int) -> int:
        for start in range(max(at, len(text) - self._longest + 1), len(text)):
            if text[start] in self._first and any(each.startswith(text[start:]) for each in self._texts):
                return start
        return len(text)

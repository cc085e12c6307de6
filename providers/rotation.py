"""Which of a provider's credentials a call uses: drawn by weight, and one that was refused rests while the others go on.

Times are seconds since the epoch, since upstreams tell theirs so. No I/O.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from providers.upstream import Credential, Upstream

#: Seconds that a credential rests after a status, doubling up to the second number where it goes on.
RESTS: Final = {401: (60.0, 900.0), 402: (60.0, 900.0), 403: (10.0, 300.0), 429: (5.0, 60.0)}
#: Statuses that are about the account and so about all of its models; the others are about one model.
WHOLE: Final = frozenset({401, 402})
#: May have been about the request, and not about the account.
DOUBTFUL: Final = 403
LONGEST: Final = 3600.0
FORGOTTEN: Final = 600.0  # seconds of quiet after which an old refusal no longer makes the next rest longer
MOST_RESTS: Final = 10_000

NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,9})?")
MILLISECONDS, UNIX = 1e11, 1e9  # as large as this a number is a date
SPAN: Final = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
UNITS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def seconds_until(text: str, now: float) -> float | None:
    """How long until the time that a header tells: seconds, a span such as 6m0s or 120ms, a Unix time in seconds or
    milliseconds, RFC 3339, or an HTTP date. None for anything else; what has passed is 0."""
    text = text.strip()
    if not text or len(text) > 64:
        return None
    if NUMBER.fullmatch(text):
        value = float(text)
        if value < UNIX:
            return value
        return max(0.0, (value / 1000 if value >= MILLISECONDS else value) - now)
    if span := SPAN.fullmatch(text):
        return sum(float(part) * unit for part, unit in zip(span.groups("0"), UNITS, strict=True))
    when = _date(text)
    return None if when is None else max(0.0, when - now)


def _date(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def retry_after(headers: Mapping[bytes, bytes], now: float) -> float:
    """Seconds that a refusal asks to wait, 0 if it does not say. ``headers`` have lower-case names.

    ``retry-after`` counts before the resets of rate limits. Of those, the latest among the limits that are used up;
    where none says that it is, the soonest of all.
    """
    milliseconds = headers.get(b"retry-after-ms", b"").decode("latin-1").strip()
    if NUMBER.fullmatch(milliseconds) and float(milliseconds) > 0:
        return float(milliseconds) / 1000
    if asked := seconds_until(headers.get(b"retry-after", b"").decode("latin-1"), now):
        return asked
    resets = list(_resets(headers, now))
    used_up = [seconds for seconds, remaining in resets if remaining == b"0"]
    return max(used_up) if used_up else min((seconds for seconds, _ in resets), default=0.0)


def _resets(headers: Mapping[bytes, bytes], now: float) -> Iterator[tuple[float, bytes]]:
    """Each limit's seconds until its reset and what remains of it: ``x-ratelimit-reset-tokens`` (OpenAI and those like
    it), ``x-ratelimit-reset``, ``ratelimit-reset``, ``anthropic-ratelimit-input-tokens-reset``."""
    for name, value in headers.items():
        if b"ratelimit" in name and b"reset" in name:
            seconds = seconds_until(value.decode("latin-1"), now)
            if seconds:
                yield seconds, headers.get(name.replace(b"reset", b"remaining"), b"").strip()


@dataclass(slots=True)
class Rest:
    """Until when a credential rests and why. ``secret`` is what was refused: a new one does not rest."""

    until: float
    status: int
    times: int
    secret: tuple[object, ...]
    told: bool  # the upstream said for how long

    @property
    def doubtful(self) -> bool:
        """It may have been about the request or the model, or be over sooner than we guess: such a credential stands
        back behind the others, but is used where there is none. One client's request must not shut a provider to all."""
        return self.status == DOUBTFUL or not self.told


class Rotation:
    """Which credentials rest, in one process."""

    def __init__(self) -> None:
        self._rests: dict[tuple[int, int, str], Rest] = {}

    def choose(self, upstream: Upstream, now: float, rng: random.Random, model: str = "") -> Credential | None:
        """A credential to call ``model`` with, by weight; weight 0 stands in for the others. None while all rest."""
        if not self._rests and len(upstream.credentials) == 1:
            return upstream.credentials[0]
        rests = [(credential, *self._rest(upstream, credential, now, model)) for credential in upstream.credentials]
        found = [credential for credential, wait, _ in rests if not wait]
        found = found or [credential for credential, _, doubtful in rests if doubtful]
        weights = [credential.weight for credential in found]
        if not any(weights):
            return found[0] if found else None
        return rng.choices(found, weights)[0] if len(found) > 1 else found[0]

    def wait(self, upstream: Upstream, now: float, model: str = "") -> float:
        """Seconds until ``choose`` has one again, 0 if it has one now."""
        rests = [self._rest(upstream, credential, now, model) for credential in upstream.credentials]
        return min((0.0 if doubtful else wait for wait, doubtful in rests), default=0.0)

    def fresh(self, upstream: Upstream, now: float, model: str = "") -> bool:
        """Whether it has a credential that does not rest at all."""
        return not self._rests or not all(self._rest(upstream, each, now, model)[0] for each in upstream.credentials)

    def why(self, upstream: Upstream, now: float, model: str = "") -> int:
        """The status for which its credentials rest, of the one that is back first; 0 while one can be used."""
        rests = [(*self._rest(upstream, each, now, model), each) for each in upstream.credentials]
        if not rests or any(not wait or doubtful for wait, doubtful, _ in rests):
            return 0
        first = min(rests, key=lambda rest: rest[0])[2]
        keys = ((upstream.id, first.id, ""), (upstream.id, first.id, model))
        return next(self._rests[key].status for key in keys if key in self._rests)

    def __bool__(self) -> bool:
        """Whether any credential rests, or did."""
        return bool(self._rests)

    def punish(
        self,
        upstream: Upstream,
        credential: Credential,
        status: int,
        headers: Mapping[bytes, bytes],
        now: float,
        model: str = "",
    ) -> float:
        """A call was refused: the seconds that the credential rests now, 0 for a status that is not about it."""
        if status not in RESTS:
            return 0.0
        key = upstream.id, credential.id, "" if status in WHOLE else model
        old = self._rests.get(key)
        if old is not None and (old.secret != _secret(credential) or now - old.until > FORGOTTEN):
            old = None
        first, longest = RESTS[status]
        # Calls that were under way together are refused together: that is one refusal.
        times = 1 if old is None else max(1, old.times + (now >= old.until))
        told = retry_after(headers, now)
        seconds = min(told or min(longest, first * 2.0 ** min(times - 1, 30)), LONGEST)
        until = now + seconds
        if old is not None and until < old.until <= now + LONGEST:
            until, told = old.until, old.told
        self._make_room(now)
        self._rests[key] = Rest(until, status, times, _secret(credential), bool(told))
        return until - now

    def succeed(self, upstream: Upstream, credential: Credential, model: str = "") -> None:
        """A call was answered: the credential is good. A limit that was told for some time still holds."""
        for key in ((upstream.id, credential.id, ""), (upstream.id, credential.id, model)):
            rest = self._rests.get(key)
            if rest is not None and rest.status != 429:
                del self._rests[key]
            elif rest is not None:
                rest.times = 0

    def rests(self, now: float) -> list[tuple[int, int, str, int, float]]:
        """Provider, credential, model ("" for all), status and seconds left of every rest, for the admin."""
        return [(*key, rest.status, rest.until - now) for key, rest in self._rests.items() if rest.until > now]

    def _rest(self, upstream: Upstream, credential: Credential, now: float, model: str) -> tuple[float, bool]:
        """The seconds that this credential still rests for ``model``, and whether only for doubtful reasons."""
        longest, doubtful = 0.0, True
        for key in {(upstream.id, credential.id, ""), (upstream.id, credential.id, model)}:
            rest = self._rests.get(key)
            if rest is None or rest.secret != _secret(credential):
                continue
            left = rest.until - now
            if 0 < left <= LONGEST:  # longer than any rest can be: the clock was set back
                longest, doubtful = max(longest, left), doubtful and rest.doubtful
        return longest, doubtful and longest > 0

    def _make_room(self, now: float) -> None:
        """Clients may name any number of models: what is over goes, then what is oldest."""
        if len(self._rests) < MOST_RESTS:
            return
        for key in [key for key, rest in self._rests.items() if rest.until <= now]:
            del self._rests[key]
        while len(self._rests) >= MOST_RESTS:
            del self._rests[next(iter(self._rests))]


def _secret(credential: Credential) -> tuple[object, ...]:
    return credential.header, credential.secret

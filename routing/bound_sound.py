"""How long a sound can be at most that is so many bytes long. Nobody decodes it here."""

from __future__ import annotations

import re

#: MPEG has no slower rate than 8,000 bits a second, however silent the sound is.
LEAST_BYTES_PER_SECOND = 1_000
#: An ID3 tag or the first frame of MPEG audio, layer III, at the beginning of a part's content.
_MPEG = re.compile(rb"\r\n\r\n(ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb])")
#: A WAVE file with plain samples (PCM, float, A-law, µ-law), and its bytes a second.
_WAVE = re.compile(rb"\r\n\r\nRIFF....WAVEfmt ....[\x01\x03\x06\x07]\x00.{6}(....)", re.DOTALL)


def milliseconds(form: bytes) -> int | None:
    """The longest that the one file in ``form`` can last; None where its format bounds nothing, as silence takes no
    room in most."""
    rate = LEAST_BYTES_PER_SECOND
    if wave := _WAVE.search(form):
        rate = int.from_bytes(wave[1], "little")
    elif not _MPEG.search(form):
        return None
    return None if rate < LEAST_BYTES_PER_SECOND else -(-len(form) * 1000 // rate)

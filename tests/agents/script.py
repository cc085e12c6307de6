"""What happens in an agent's conversation: five turns of a model that thinks and calls tools, in no API's words."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
QUESTION = "What should I wear in Paris and in Oslo?"
SYSTEM = "You advise travellers."
WEATHER, TIME, NOTES = "weather.get/today", "get_time", "list_notes"


def _schema(**properties: str) -> Json:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class Tool:
    """``description`` is what tells tools apart where their names had to change."""

    name: str
    description: str
    schema: Json


TOOLS = (
    Tool(WEATHER, "Tells today's weather.", _schema(city="string", days="integer")),
    Tool(TIME, "Tells the time in a zone.", _schema(zone="string")),
    Tool(NOTES, "Lists all notes.", _schema()),
)


@dataclass(frozen=True, slots=True)
class Call:
    """``failed``: ``result`` tells an error."""

    name: str
    arguments: Json
    result: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    number: int
    thinking: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()

    @property
    def signature(self) -> str:
        """Base64 with all that its alphabet has, of a length that is no multiple of anything."""
        return base64.b64encode(b"\x00\xfb\xff\xfe" + f"signed {self.number} ".encode() * 9).decode()


SCRIPT = (
    Turn(
        1,
        "Two cities:\nfirst Paris — then the time.",
        "",
        (
            Call(WEATHER, {"city": "Paris", "days": 1}, '{"sky": "clear", "high": 21}'),
            Call(TIME, {"zone": "Europe/Paris"}, "14:05"),
        ),
    ),
    Turn(2, "And Oslo's time?", "Now Oslo.", (Call(TIME, {"zone": "Norway/Oslo"}, "unknown zone", failed=True),)),
    Turn(
        3,
        "Never mind the time; the weather of two days.",
        "",
        (
            Call(WEATHER, {"city": "Oslo", "days": 1}, "rain, 9 °C"),
            Call(WEATHER, {"city": "Oslo", "days": 2}, "snow, −1 °C"),
        ),
    ),
    Turn(4, "", "Is there a note on that?", (Call(NOTES, {}, "[]"),)),
    Turn(5, "That is all I need.", 'In Paris a shirt, in Oslo a coat: "brr".'),
)

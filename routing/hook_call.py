"""What hooks see of a request, and may edit. No credential of a client or a provider can be reached from here.

Edits are of the client's own JSON: what a hook changed in ``doc``, or in ``chat``, replaces the top-level fields that
differ, and no other byte. ``Refusal`` is how a hook says no in words of its own; every other exception stays inside.
"""

from __future__ import annotations

from typing import Any

import orjson

from providers import jsonbytes
from providers.chat import Chat, Json
from providers.dialects import openai_chat
from providers.light import Header
from routing.apis import CLIENT_DIALECTS
from routing.call import Call
from routing.headers import query_without_key
from routing.hook_words import HIDDEN, Misuse, patched, spliced, with_header
from routing.incoming import GUARDED, GUARDED_GEMINI
from routing.translation import chat_of
from tenants.keys import Tenant


class HookCall:
    """One request. ``notes`` is for hooks to remember things of it: by convention under the hook itself.

    ``doc`` is the body as JSON, ``chat`` the same in the vocabulary; change either in place, ``doc`` first. ``body`` are
    its bytes, which may be set whole. ``model`` may be set too: the route is then looked for anew.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._body: bytes | None = None
        self._doc: Json | None = None
        self._chat: Chat | None = None
        self._read: tuple[str, Json] = ("", {})  # what the chat says before any edit of it
        self.notes: dict[Any, Any] = {}
        self.id = call.id
        self.request_id = call.entry.request_id
        self.client_ip = call.entry.client_ip

    # what is fixed

    @property
    def endpoint(self) -> str:
        return self._call.endpoint.name

    @property
    def api(self) -> str:
        return self._call.endpoint.api

    @property
    def dialect(self) -> str:
        return self._call.endpoint.dialect

    @property
    def stream(self) -> bool:
        return self._call.stream

    @property
    def form(self) -> str:
        """What the body is: json, multipart or none. Only JSON can be edited."""
        return self._call.form

    @property
    def tenant(self) -> Tenant:
        return self._call.tenant

    @property
    def log_bodies(self) -> bool:
        """Off: what this request and its reply say is not to be stored, by its tenant, its project or its key."""
        return self._call.terms.log_bodies

    @property
    def key(self) -> str:
        return self._call.key.name

    @property
    def route(self) -> str:
        return self._call.entry.route

    @property
    def route_id(self) -> int | None:
        return self._call.resolved.route.id if self._call.resolved is not None else None

    @property
    def query(self) -> bytes:
        return query_without_key(self._call.query)

    # what may be edited

    @property
    def tags(self) -> list[str]:
        return self._call.entry.tags

    @property
    def user(self) -> str:
        return self._call.entry.end_user

    @user.setter
    def user(self, name: str) -> None:
        self._call.entry.end_user = name[:255]

    @property
    def model(self) -> str:
        return self._call.model

    @model.setter
    def model(self, name: str) -> None:
        self._call.model = name

    @property
    def headers(self) -> list[Header]:
        return [header for header in self._call.headers if header[0] not in HIDDEN]

    def set_header(self, name: str, value: str | None) -> None:
        """None removes it. Only headers that the gateway forwards reach an upstream; ``before_attempt`` can add others."""
        self._call.headers = with_header(self._call.headers, name, value)
        self._call.named = dict(self._call.headers)

    @property
    def body(self) -> bytes:
        return self._call.body if self._body is None else self._body

    @body.setter
    def body(self, body: bytes) -> None:
        self._body, self._doc, self._chat = body, None, None

    @property
    def doc(self) -> Json:
        if self._doc is None:
            self._doc = jsonbytes.parse(self.body) if self.form == "json" else dict(self._call.doc)
        return self._doc

    @property
    def chat(self) -> Chat:
        """Raises GatewayError where the request is not one for a generated text, or not a right one."""
        if self._chat is None:
            self.take()
            if self.api not in CLIENT_DIALECTS:
                raise Misuse(f"a request of {self.endpoint} has no chat")
            self._chat, self._call.chat = chat_of(self._call), None
            self._read = (self._chat.model, self._written(self._chat))
        return self._chat

    def _written(self, chat: Chat) -> Json:
        dialect: Any = CLIENT_DIALECTS[self.api]
        write = getattr(dialect, "write_request", openai_chat.write_request)
        doc = orjson.loads(orjson.dumps(write(chat, True)[0]))
        return {name: value for name, value in doc.items() if name not in ("model", "stream")}

    def take(self) -> None:
        """Make the edits so far. Raises Misuse, or what an edit without sense raises; then none is made."""
        body, doc, chat = self._body, self._doc, self._chat
        self._body = self._doc = self._chat = None
        call = self._call
        if body is None and doc is None and chat is None:
            return
        if call.form != "json":
            if body is not None or (doc is not None and doc != call.doc):
                raise Misuse("only a JSON body can be edited")
            return
        new = call.doc if body is None else _checked(call, body)
        raw = call.body if body is None else body
        if doc is not None and doc != new:
            raw, new = spliced(raw, new, doc), doc
        if chat is not None and (after := self._written(chat)) != self._read[1]:
            edited = patched(new, self._read[1], after)
            raw, new = spliced(raw, new, edited), edited
        self._put(raw, new, chat)

    def mark(self) -> tuple[str, list[Header]]:
        """What ``drop`` needs to go back to here."""
        return self._call.model, self._call.headers

    def drop(self, mark: tuple[str, list[Header]]) -> None:
        """Forget the edits since ``mark``, of which none was taken."""
        self._body = self._doc = self._chat = None
        self._call.model, self._call.headers = mark
        self._call.named = dict(self._call.headers)

    def _put(self, raw: bytes, new: Json, chat: Chat | None) -> None:
        call, asked = self._call, self._call.doc.get("model")
        if bool(new.get("stream")) != bool(call.doc.get("stream")):
            raise Misuse("whether to stream is the client's to say")
        model = call.model if chat is None or chat.model == self._read[0] else chat.model
        if (named := new.get("model")) != asked:
            if not isinstance(named, str) or not isinstance(asked, str):
                raise Misuse("the model's name is set as ``model``")
            # The body keeps the name that the client asked for: an attempt replaces it by its target's.
            model, new = named.removeprefix("models/"), {**new, "model": asked}
            raw = jsonbytes.replace(raw, "model", orjson.dumps(asked))
        if chat is not None or raw is not call.body:
            call.chat = chat
            call.inlined.clear()
        call.body, call.doc, call.model = raw, new, model


def _checked(call: Call, body: bytes) -> Json:
    doc = jsonbytes.parse(body)
    jsonbytes.check_unique(body, doc, GUARDED_GEMINI if call.endpoint.dialect == "gemini" else GUARDED)
    return doc

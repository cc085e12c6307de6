"""What is known of one request. No Django here: requests fill it."""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import UUID

from tenants.uuid7 import uuid7

#: All but the id, in the order of ``Entry.values`` and of what a spool holds.
FIELDS: Final = tuple(
    """
    kind corrects created_at request_id tenant_id tenant project_id project key_id key key_prefix dialect endpoint
    model route provider_id provider target_id upstream_model upstream_request_id upstream_response_id status
    error_kind attempts stream input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens
    estimated cost price_version service_tier billed charged_to interrupted bound_exceeded duration_us first_byte_us
    revision client_ip end_user tags declared decision charges bound if_interrupted
    """.split()
)


class Entry:
    """One row of ``tenants.models.Usage``, column for column, and what is done with it: ``charges`` are nano-dollars by
    label of ``tenants.leases``. Should this process be killed before the end is known, ``bound`` is the most that the request
    may cost, None if nobody knows, and ``if_interrupted`` the tenant's policy: "counted", "bound" or "zero".

    ``created_at`` is seconds since the epoch; ``*_us`` are microseconds since then; ``cost`` is nano-dollars, None when
    the model has no price. ``input_tokens`` is all input and ``output_tokens`` all output; the other counts are parts.

    Written out by hand: a request makes one of these and tells its values twice.
    """

    __slots__ = ("id", *FIELDS)

    def __init__(
        self,
        id: UUID | None = None,
        kind: str = "charge",
        corrects: UUID | None = None,
        created_at: float | None = None,
        request_id: str = "",
        tenant_id: int = 0,
        tenant: str = "",
        project_id: int = 0,
        project: str = "",
        key_id: int = 0,
        key: str = "",
        key_prefix: str = "",
        dialect: str = "",
        endpoint: str = "",
        model: str = "",
        route: str = "",
        provider_id: int = 0,
        provider: str = "",
        target_id: int = 0,
        upstream_model: str = "",
        upstream_request_id: str = "",
        upstream_response_id: str = "",
        status: int = 0,
        error_kind: str = "",
        attempts: int = 0,
        stream: bool = False,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        estimated: bool = False,
        cost: int | None = None,
        price_version: str = "",
        service_tier: str = "",
        billed: str = "",
        charged_to: str = "",
        interrupted: bool = False,
        bound_exceeded: bool = False,
        duration_us: int = 0,
        first_byte_us: int | None = None,
        revision: int = 0,
        client_ip: str = "",
        end_user: str = "",
        tags: list[str] | None = None,
        declared: list[str] | None = None,
        decision: str = "",
        charges: dict[str, int] | None = None,
        bound: int | None = None,
        if_interrupted: str = "counted",
    ) -> None:
        self.id: UUID = uuid7() if id is None else id
        self.kind = kind
        self.corrects = corrects
        self.created_at: float = time.time() if created_at is None else created_at
        self.request_id = request_id
        self.tenant_id = tenant_id
        self.tenant = tenant
        self.project_id = project_id
        self.project = project
        self.key_id = key_id
        self.key = key
        self.key_prefix = key_prefix
        self.dialect = dialect
        self.endpoint = endpoint
        self.model = model
        self.route = route
        self.provider_id = provider_id
        self.provider = provider
        self.target_id = target_id
        self.upstream_model = upstream_model
        self.upstream_request_id = upstream_request_id
        self.upstream_response_id = upstream_response_id
        self.status = status
        self.error_kind = error_kind
        self.attempts = attempts
        self.stream = stream
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.cache_read_tokens = cache_read_tokens
        self.cache_write_tokens = cache_write_tokens
        self.reasoning_tokens = reasoning_tokens
        self.estimated = estimated
        self.cost = cost
        self.price_version = price_version
        self.service_tier = service_tier
        self.billed = billed
        self.charged_to = charged_to
        self.interrupted = interrupted
        self.bound_exceeded = bound_exceeded
        self.duration_us = duration_us
        self.first_byte_us = first_byte_us
        self.revision = revision
        self.client_ip = client_ip
        self.end_user = end_user
        self.tags: list[str] = [] if tags is None else tags
        self.declared: list[str] = [] if declared is None else declared
        self.decision = decision
        self.charges: dict[str, int] = {} if charges is None else charges
        self.bound = bound
        self.if_interrupted = if_interrupted

    def values(self) -> list[Any]:
        """Those of FIELDS."""
        return [
            self.kind,
            self.corrects,
            self.created_at,
            self.request_id,
            self.tenant_id,
            self.tenant,
            self.project_id,
            self.project,
            self.key_id,
            self.key,
            self.key_prefix,
            self.dialect,
            self.endpoint,
            self.model,
            self.route,
            self.provider_id,
            self.provider,
            self.target_id,
            self.upstream_model,
            self.upstream_request_id,
            self.upstream_response_id,
            self.status,
            self.error_kind,
            self.attempts,
            self.stream,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            self.estimated,
            self.cost,
            self.price_version,
            self.service_tier,
            self.billed,
            self.charged_to,
            self.interrupted,
            self.bound_exceeded,
            self.duration_us,
            self.first_byte_us,
            self.revision,
            self.client_ip,
            self.end_user,
            self.tags,
            self.declared,
            self.decision,
            self.charges,
            self.bound,
            self.if_interrupted,
        ]

    def told(self) -> dict[str, Any]:
        """All values by name."""
        return {"id": self.id, **dict(zip(FIELDS, self.values(), strict=True))}

    def but(self, **changes: Any) -> Entry:
        """A copy with other values."""
        return Entry(**(self.told() | changes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.told() == other.told()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Entry({', '.join(f'{name}={value!r}' for name, value in self.told().items() if value)})"

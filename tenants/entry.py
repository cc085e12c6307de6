"""What is known of one request. No Django here: requests fill it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from tenants.uuid7 import uuid7


@dataclass(slots=True)
class Entry:
    """One row of ``tenants.models.Usage``, column for column, and what is done with it: ``charges`` are nano-dollars by
    label of ``tenants.leases``. Should this process be killed before the end is known, ``bound`` is the most that the request
    may cost, None if nobody knows, and ``if_interrupted`` the tenant's policy: "counted", "bound" or "zero".

    ``created_at`` is seconds since the epoch; ``*_us`` are microseconds since then; ``cost`` is nano-dollars, None when
    the model has no price. ``input_tokens`` is all input and ``output_tokens`` all output; the other counts are parts.
    """

    id: UUID = field(default_factory=uuid7)
    kind: str = "charge"
    corrects: UUID | None = None
    created_at: float = field(default_factory=time.time)
    request_id: str = ""
    tenant_id: int = 0
    tenant: str = ""
    project_id: int = 0
    project: str = ""
    key_id: int = 0
    key: str = ""
    key_prefix: str = ""
    dialect: str = ""
    endpoint: str = ""
    model: str = ""
    route: str = ""
    provider_id: int = 0
    provider: str = ""
    target_id: int = 0
    upstream_model: str = ""
    upstream_request_id: str = ""
    upstream_response_id: str = ""
    status: int = 0
    error_kind: str = ""
    attempts: int = 0
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost: int | None = None
    price_version: str = ""
    service_tier: str = ""
    billed: str = ""
    charged_to: str = ""
    interrupted: bool = False
    bound_exceeded: bool = False
    duration_us: int = 0
    first_byte_us: int | None = None
    revision: int = 0
    client_ip: str = ""
    end_user: str = ""
    tags: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    decision: str = ""
    charges: dict[str, int] = field(default_factory=dict)
    bound: int | None = None
    if_interrupted: str = "counted"

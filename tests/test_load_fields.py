"""Every field that the admin edits for translation arrives in the snapshot that requests read."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from providers.models import Credential, Provider
from routing.load import Loader
from routing.models import Route, Target
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def made(**fields: object) -> Provider:
    provider = Provider(name="up", **fields)
    provider.full_clean()
    provider.save()
    return provider


def with_secret(provider: Provider, secret: str) -> None:
    credential = Credential(provider=provider, name="default")
    credential.secret = secret
    credential.save()


def test_route_target_and_tenant() -> None:
    provider = made(kind="anthropic")
    route = Route.objects.create(name="m", loss="strict")
    Target.objects.create(route=route, provider=provider, api="messages", max_tokens=77)
    Tenant.objects.create(name="acme", store_responses=False, response_days=2, response_bytes=99)
    found = Loader().refresh()
    assert found.routes["m"].loss == "strict" and found.routes["m"].targets[0].max_tokens == 77
    tenant = next(each for each in found.tenants.values() if each.name == "acme")
    assert (tenant.store_responses, tenant.response_seconds, tenant.response_bytes) == (False, 2 * 86_400, 99)


def test_what_a_server_lacks() -> None:
    provider = made(kind="vllm", lacks=["custom_tools", "developer_role"])
    assert Loader().refresh().upstreams[provider.id].lacks == {"custom_tools", "developer_role"}
    with pytest.raises(ValidationError) as caught:
        Provider(name="x", kind="vllm", lacks=["sense"]).full_clean()
    assert "lacks" in caught.value.message_dict


def test_azures_two_forms() -> None:
    plain = made(kind="azure-openai", base_url="https://r.openai.azure.com/openai/v1")
    assert Loader().refresh().upstreams[plain.id].variant is None
    plain.api_version, plain.base_url = "2024-10-21", "https://r.openai.azure.com"
    plain.full_clean()
    plain.save()
    found = Loader().refresh().upstreams[plain.id]
    assert found.variant is not None and found.api_version == "2024-10-21"
    for field, fields in (
        ("base_url", {"kind": "azure-openai", "base_url": "https://r.openai.azure.com/openai/v1"}),
        ("api_version", {"kind": "openai"}),
    ):
        with pytest.raises(ValidationError) as caught:
            Provider(name="x", api_version="2024-10-21", **fields).full_clean()
        assert field in caught.value.message_dict


@pytest.mark.parametrize(
    ("secret", "signs", "header"),
    [
        ("AKIAEXAMPLE:secret-of-it", True, None),
        ('{"aws_access_key_id":"AKIA","aws_secret_access_key":"s"}', True, None),
        ("bedrock-api-key-0123", False, (b"authorization", b"Bearer bedrock-api-key-0123")),
    ],
)
def test_the_credentials_of_bedrock(secret: str, signs: bool, header: object) -> None:
    provider = made(kind="bedrock", base_url="https://bedrock-runtime.eu-west-1.amazonaws.com")
    with_secret(provider, secret)
    credential = Loader().refresh().upstreams[provider.id].credentials[0]
    assert (credential.signer is not None) == signs and credential.header == header


def test_a_region_that_the_host_does_not_name() -> None:
    provider = made(kind="bedrock", base_url="https://bedrock.proxy.example")
    with_secret(provider, '{"aws_access_key_id":"A","aws_secret_access_key":"s","aws_region":"eu-west-1"}')
    assert Loader().refresh().upstreams[provider.id].credentials[0].signer is not None


def test_a_secret_that_cannot_be_used_is_said_and_is_no_credential(caplog: pytest.LogCaptureFixture) -> None:
    provider = made(kind="vertex", base_url="https://x-aiplatform.googleapis.com/v1/projects/p/locations/l")
    with_secret(provider, '{"type":"nonsense"}')
    credential = Loader().refresh().upstreams[provider.id].credentials[0]
    assert credential.signer is None and credential.header is None
    assert "credential default" in caplog.text and "nonsense" not in caplog.text

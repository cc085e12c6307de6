"""Where warnings are mailed by, as the environment says it."""

from __future__ import annotations

import pytest

from gateway_project.environment import Environment, Refused
from gateway_project.mail import mail


def test_what_is_understood() -> None:
    found = mail("smtp+tls://ops%40x.org:p%3Aw@mail.x.org")
    assert found == {
        "EMAIL_HOST": "mail.x.org",
        "EMAIL_PORT": 587,
        "EMAIL_HOST_USER": "ops@x.org",
        "EMAIL_HOST_PASSWORD": "p:w",
        "EMAIL_TIMEOUT": 10,
        "EMAIL_USE_TLS": True,
    }
    assert mail("smtps://x")["EMAIL_USE_SSL"] and mail("smtps://x")["EMAIL_PORT"] == 465
    plain = mail("smtp://x:2525/")
    assert plain["EMAIL_PORT"] == 2525 and not plain.keys() & {"EMAIL_USE_TLS", "EMAIL_USE_SSL"}


@pytest.mark.parametrize(
    "text",
    ["mail.x.org", "http://x", "smtp://", "smtp://u:hush@x:port", "smtp://u:hush@x/path", "smtp://u:hush@x?tls=1"],
)
def test_what_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refused, match="GATEWAY_EMAIL_URL: not a URL such as") as caught:
        Environment({"GATEWAY_EMAIL_URL": text}).read("GATEWAY_EMAIL_URL", mail, {"EMAIL_PORT": 25})
    assert "hush" not in str(caught.value)

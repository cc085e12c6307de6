"""A database knows the secrets that it was written with."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_project.keyring import MAKERS
from routing import fingerprints
from routing.bootstrap import bootstrap
from routing.models import Fingerprint
from routing.vendors import Vendor

OPENAI = Vendor("openai", "sk-0123456789abcdef0123")


@pytest.mark.django_db
@pytest.mark.parametrize("name", list(MAKERS))
def test_another_secret_than_the_database_was_written_with_is_refused(settings: Any, name: str) -> None:
    fingerprints.verify()
    before = getattr(settings, name)
    new = (
        "x" * 40
        if name == "SECRET_KEY"
        else [type(before[0])("x" * 40, "ascii") if isinstance(before[0], bytes) else "x" * 40]
    )
    setattr(settings, name, new)
    with pytest.raises(fingerprints.WrongSecret, match=name):
        fingerprints.verify()
    setattr(settings, name, before)
    fingerprints.verify()


@pytest.mark.django_db
def test_secrets_are_rotated_by_putting_the_new_one_first(settings: Any) -> None:
    fingerprints.verify()
    old, new = settings.GATEWAY_KEY_PEPPERS[0], b"another pepper of some length"
    settings.GATEWAY_KEY_PEPPERS = [new, old]
    fingerprints.verify()
    settings.GATEWAY_KEY_PEPPERS = [new]
    fingerprints.verify()
    settings.GATEWAY_KEY_PEPPERS = [old]
    with pytest.raises(fingerprints.WrongSecret):
        fingerprints.verify()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    settings.GATEWAY_KEY_PEPPERS = [new]
    fingerprints.verify()


@pytest.mark.django_db
def test_marks_tell_nothing_of_the_secrets(settings: Any) -> None:
    bootstrap([OPENAI])
    marks = " ".join(Fingerprint.objects.values_list("digest", flat=True))
    assert settings.SECRET_KEY not in marks
    assert OPENAI.api_key not in marks
    assert len(set(marks.split())) == len(marks.split()) == 4

"""The prices of the README are what ``manage.py apply`` takes, and a second run changes nothing."""

from __future__ import annotations

import re

import pytest

from routing.apply import apply
from routing.apply_read import read
from routing.load import Loader
from tenants.models import Price
from tests.recordings import REPOSITORY

pytestmark = pytest.mark.django_db


def test_the_readmes_prices_are_applied() -> None:
    text = (REPOSITORY / "README.md").read_text()
    (found,) = re.findall(r"^```yaml\n# prices\.yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    apply(read(found))
    assert [(price.model, price.rates["input_tokens"]) for price in Price.objects.all()] == [
        ("gpt-5", 125 * 10**7),
        ("house-*", 10**8),
    ]
    assert apply(read(found)).lines == [] and len(Loader().refresh().prices._overrides) == 2

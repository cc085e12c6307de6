"""The bench's hand in the gateway's database, as a process of its own: `python -m tests.bench.seed fill|count …`.

`fill ROUTES KEYS TENANTS WHOLE STREAMS` adds to what `manage.py apply` made until there are that many, and moves the
two providers to these addresses, where their calls are counted apart; the gateway must not run meanwhile. `count` prints the usage rows as JSON.
"""

import json
import os
import sys

import django

from tests.bench.load import KEY, MODEL

_BATCH = 2000


def fill(routes: int, keys: int, tenants: int, whole_url: str, stream_url: str) -> None:
    from django.db import transaction

    from providers.models import Provider

    with transaction.atomic():
        Provider.objects.filter(name="whole").update(base_url=whole_url)
        Provider.objects.filter(name="streams").update(base_url=stream_url)
        _fill_routes(routes)
        _fill_keys(keys, tenants)


def _fill_routes(count: int) -> None:
    from providers.models import Provider
    from routing.models import Route, Target

    provider = Provider.objects.get(name="whole")
    have = set(Route.objects.values_list("name", flat=True))
    names = [MODEL.format(number) for number in range(count)]
    made = Route.objects.bulk_create([Route(name=name) for name in names if name not in have], batch_size=_BATCH)
    targets = [Target(route=route, provider=provider, model="bench") for route in made]
    Target.objects.bulk_create(targets, batch_size=_BATCH)


def _fill_keys(count: int, tenants: int) -> None:
    from tenants.models import ApiKey, Tenant

    have_tenants = set(Tenant.objects.values_list("name", flat=True))
    names = [f"tenant-{number}" for number in range(tenants)]
    Tenant.objects.bulk_create([Tenant(name=name) for name in names if name not in have_tenants])
    owners = list(Tenant.objects.filter(name__in=names))
    have = set(ApiKey.objects.values_list("name", flat=True))
    made = []
    for number in range(count):
        if f"key-{number}" not in have:
            key = ApiKey(tenant=owners[number % len(owners)], name=f"key-{number}")
            key.set_key(KEY.format(number))
            made.append(key)
    ApiKey.objects.bulk_create(made, batch_size=_BATCH)


def count() -> None:
    from django.db.models import Count, Q, Sum
    from django.db.models.functions import Coalesce

    from tenants.models import Usage

    good = Q(status=200, kind="charge")
    told = Usage.objects.aggregate(
        all=Count("pk"),
        good=Count("pk", filter=good),
        input_tokens=Coalesce(Sum("input_tokens", filter=good), 0),
        output_tokens=Coalesce(Sum("output_tokens", filter=good), 0),
    )
    print(json.dumps(told))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    django.setup()
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
    else:
        count()

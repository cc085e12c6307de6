"""What holds for every REST endpoint: one cap on bodies, one way to page and filter, one answer for each refusal."""

from __future__ import annotations

import json
import math
from typing import Any

from django.core.exceptions import RequestDataTooBig, ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Model, ProtectedError, QuerySet
from rest_framework import exceptions, parsers, status
from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."


class StrictJSONParser(parsers.JSONParser):
    """JSON without what JSON has not: NaN, and numbers that become infinite. Too deep a nesting is a 400, no 500."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return json.loads(stream.read().decode(), parse_constant=_refuse, parse_float=_finite)
        except ValueError as error:
            raise exceptions.ParseError(f"This is not JSON: {error}") from None
        except RecursionError:
            raise exceptions.ParseError("This is not JSON: nested too deeply") from None


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON number")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


class Pages(PageNumberPagination):
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"


class Filter(BaseFilterBackend):
    """Filters by the parameters that the view lists in ``filters``: name -> (lookup, field that reads the value).

    A parameter that is not understood is an error: it would otherwise answer with more than was asked for.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters = getattr(view, "filters", {})
        given = {
            name: value
            for name, value in request.query_params.items()
            if name not in ("page", "page_size", "cursor", "format")
        }
        if unknown := given.keys() - filters.keys():
            known = ", ".join(filters) or "none"
            raise exceptions.ValidationError(
                {name: [f"There is no such parameter. Known: {known}."] for name in unknown}
            )
        lookups = {}
        for name, text in given.items():
            lookup, field = filters[name]
            try:
                lookups[lookup] = field.run_validation(text)
            except exceptions.ValidationError as error:
                raise exceptions.ValidationError({name: error.detail}) from None
        return queryset.filter(**lookups)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's answers, and a 400 or 409 where the database or a model refuses."""
    from rest_framework.views import exception_handler  # which loads this module, by the settings that name it

    if isinstance(error, ProtectedError):
        return _conflict(f"It is still in use by {named(error.protected_objects)}.")
    if isinstance(error, IntegrityError):
        return _conflict("It conflicts with another object, made at the same time.")
    if isinstance(error, RequestDataTooBig):
        error = TooLarge()
    if isinstance(error, DataError):
        error = exceptions.ValidationError({"non_field_errors": ["The database cannot hold one of these values."]})
    if isinstance(error, ValidationError):
        error = exceptions.ValidationError(as_serializer_error(error))
    return exception_handler(error, context)


def _conflict(words: str) -> Response:
    return Response({"detail": words}, status=status.HTTP_409_CONFLICT)


def named(objects: set[Model]) -> str:
    """The first few of what protects an object, for people."""
    names = sorted(f"{row._meta.verbose_name} {described(row)}" for row in objects)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def described(row: Model) -> str:
    route = getattr(row, "route", None)
    return f"{row} of {route}" if route is not None else str(row)

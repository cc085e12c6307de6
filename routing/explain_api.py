"""REST: why requests went where they went, and where one would go that is never sent."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from routing import question
from routing.decision_page import stored
from routing.models import Route
from tenants.api import UsageRowViewSet
from tenants.models import Usage
from tenants.serializers import UsageSerializer
from tenants.tokens import ModelPermission

CHAT = "/v1/chat/completions"


class RequestSerializer(UsageSerializer):
    """One request with the decision in words."""

    def to_representation(self, instance: Usage) -> dict[str, Any]:
        return {**super().to_representation(instance), "decision": stored(instance.decision)}


class RequestViewSet(UsageRowViewSet):
    serializer_class = RequestSerializer


class KeyField(serializers.Field[Any, Any, Any, Any]):
    """A key's name or id, or the key itself."""

    def to_internal_value(self, data: Any) -> str | int:
        if isinstance(data, bool) or not isinstance(data, str | int) or data == "":
            raise serializers.ValidationError("Give a key's name or id, or the key itself.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class QuestionSerializer(serializers.Serializer[Any]):
    """Without ``key`` it is a request without any. ``tenant`` tells keys of one name apart."""

    key = KeyField(required=False, allow_null=True)
    tenant = serializers.CharField(required=False)
    model = serializers.CharField(required=False, trim_whitespace=False)
    path = serializers.CharField(default=CHAT)
    body = serializers.DictField(default=dict)
    headers = serializers.DictField(child=serializers.CharField(allow_blank=True), default=dict)
    stream = serializers.BooleanField(required=False, allow_null=True, default=None)
    address = serializers.IPAddressField(default="")

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            raise serializers.ValidationError({name: ["There is no such field."] for name in sorted(unknown)})
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            question.check_headers(attrs["headers"])
            said = attrs.get("key")
            key = question.find_key(said, attrs.get("tenant", "")) if said is not None else None
            endpoint, path = question.endpoint_at(attrs["path"])
            body = question.body_of(endpoint, path, attrs["body"], attrs.get("model", ""), attrs["stream"])
        except question.Unclear as error:
            raise serializers.ValidationError({error.field: [error.message]}) from None
        return {"asked": question.Question(key, endpoint, path, attrs["headers"], body, attrs["address"])}


class ExplainPermission(ModelPermission):
    """It sends and changes nothing, and tells of routes, providers and keys: who may view those may ask."""

    perms_map = {
        **ModelPermission.perms_map,
        "POST": ["routing.view_route", "providers.view_provider", "tenants.view_apikey"],
    }


class ExplainView(APIView):
    """The decision for a request that is never sent: the candidates in order, and the rejected ones with the reason.

    It knows what the process that answers has seen of its providers; another worker may have seen something else.
    """

    queryset = Route.objects.none()
    permission_classes = (ExplainPermission,)

    def post(self, request: Request) -> Response:
        found = QuestionSerializer(data=request.data)
        found.is_valid(raise_exception=True)
        return Response(question.answer(found.validated_data["asked"]))

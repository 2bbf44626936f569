"""Log accounts in and out with knox tokens. Only digests of the tokens are stored."""

from __future__ import annotations

from django.contrib.auth import authenticate, user_logged_in
from drf_spectacular.utils import extend_schema
from knox.models import get_token_model
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Unauthorized
from r3al_project.api.answers.auth import LoginAnswer, login_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import EmptyBody, StrictBody, TextField, read_body


class LoginBody(StrictBody):
    username = TextField(max_length=150)
    password = TextField(max_length=200, trim_whitespace=False)


class LoginView(ApiView):
    """Give a new token to the account of an operator or a service."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=LoginBody, responses=LoginAnswer)
    def post(self, request: Request) -> Response:
        user = authenticate(request._request, **read_body(LoginBody, request))
        if user is None:
            raise Unauthorized("the user name or the password is wrong, or the account is not active")
        user_logged_in.send(type(user), request=request._request, user=user)
        made, token = get_token_model().objects.create(user)
        return Response(login_answer(token, made.expiry))


class LogoutView(ApiView):
    """Revoke the token that the request is sent with."""

    permission_classes = (HasPermission,)
    may = {"POST": ""}

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        read_body(EmptyBody, request)
        request.auth.delete()
        return Response(status=204)


class LogoutAllView(ApiView):
    """Revoke all tokens of the account."""

    permission_classes = (HasPermission,)
    may = {"POST": ""}

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        read_body(EmptyBody, request)
        get_token_model().objects.filter(user=request.user).delete()
        return Response(status=204)

"""The realm that the profile `auth` brings up lets each of its users do what their role is for; Keycloak itself cannot
run here, so that what it would write into a token is told by what its mappers say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gofleet.domain.principal import Role, Scope
from gofleet.domain.values import IDENTIFIER
from gofleet.settings import load
from tests.composed import AUTH, composed

REALM: dict[str, Any] = json.loads((Path(__file__).parents[2] / "config/keycloak/realm.json").read_text())
SCOPES = {scope["name"]: scope for scope in REALM["clientScopes"]}
CLIENTS = {client["clientId"]: client for client in REALM["clients"]}
SETTINGS = load({}, dotenv=None).auth


def mappers(client: str) -> list[dict[str, Any]]:
    return [one for name in CLIENTS[client]["defaultClientScopes"] for one in SCOPES[name].get("protocolMappers", [])]


def test_the_issuer_is_the_documented_one() -> None:
    keycloak = composed(AUTH).services["keycloak"]
    page = (Path(__file__).parents[2] / "config" / "README.md").read_text()
    issuer = f"{keycloak.environment['KC_HOSTNAME']}/realms/{REALM['realm']}"
    assert f"AUTH_ISSUER={issuer}\n" in page
    assert keycloak.ports[0].published == issuer.split(":")[2].split("/", maxsplit=1)[0]


def test_there_is_somebody_for_each_role() -> None:
    assert {role["name"] for role in REALM["roles"]["realm"]} == {role.value for role in Role}
    assert {role for user in REALM["users"] for role in user["realmRoles"]} == {role.value for role in Role}


def test_the_names_that_tokens_bear_can_be_those_of_customers_and_drivers() -> None:
    assert all(IDENTIFIER.fullmatch(user["id"]) for user in REALM["users"] if "id" in user)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_is_for_the_api_and_tells_who_and_which_roles(client: str) -> None:
    found = {one["protocolMapper"]: one["config"] for one in mappers(client)}
    assert found["oidc-audience-mapper"]["included.custom.audience"] == SETTINGS.audience
    roles = found["oidc-usermodel-realm-role-mapper"]
    assert (roles["claim.name"],) in SETTINGS.role_paths
    assert roles["multivalued"] == "true"
    assert "oidc-sub-mapper" in found
    assert all(config["access.token.claim"] == "true" for config in found.values())


@pytest.mark.parametrize("client", CLIENTS)
def test_scopes_are_ours_and_stand_in_the_token(client: str) -> None:
    given = set(CLIENTS[client]["defaultClientScopes"]) - {"basic", "gofleet-api"}
    assert given <= {scope.value for scope in Scope}
    assert all(SCOPES[name]["attributes"]["include.in.token.scope"] == "true" for name in given)
    assert client == "shop" or given == {scope.value for scope in Scope}


def test_nobody_logs_in_by_sending_a_password_to_a_client() -> None:
    assert not [client["clientId"] for client in REALM["clients"] if client["directAccessGrantsEnabled"]]
    assert CLIENTS["gofleet-cli"]["attributes"]["oauth2.device.authorization.grant.enabled"] == "true"
    assert CLIENTS["gofleet-web"]["attributes"]["pkce.code.challenge.method"] == "S256"


def test_tokens_live_no_longer_than_we_take_them() -> None:
    assert REALM["accessTokenLifespan"] <= SETTINGS.most_seconds

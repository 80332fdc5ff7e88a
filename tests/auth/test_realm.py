"""The realm of the profile `auth` gives each of its users the permissions of its role. Keycloak itself cannot run here,
so the content of its tokens is derived from its mappers."""

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


def test_the_issuer_is_as_documented() -> None:
    keycloak = composed(AUTH).services["keycloak"]
    page = (Path(__file__).parents[2] / "config" / "README.md").read_text()
    issuer = f"{keycloak.environment['KC_HOSTNAME']}/realms/{REALM['realm']}"
    assert f"AUTH_ISSUER={issuer}\n" in page
    assert keycloak.ports[0].published == issuer.split(":")[2].split("/", maxsplit=1)[0]


def test_each_role_has_a_user() -> None:
    assert {role["name"] for role in REALM["roles"]["realm"]} == {role.value for role in Role}
    assert {role for user in REALM["users"] for role in user["realmRoles"]} == {role.value for role in Role}


def test_token_subjects_are_valid_customer_and_driver_ids() -> None:
    assert all(IDENTIFIER.fullmatch(user["id"]) for user in REALM["users"] if "id" in user)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_has_audience_subject_and_roles(client: str) -> None:
    found = {one["protocolMapper"]: one["config"] for one in mappers(client)}
    assert found["oidc-audience-mapper"]["included.custom.audience"] in SETTINGS.audiences
    roles = found["oidc-usermodel-realm-role-mapper"]
    assert (roles["claim.name"],) in SETTINGS.role_paths
    assert roles["multivalued"] == "true"
    assert "oidc-sub-mapper" in found
    assert all(config["access.token.claim"] == "true" for config in found.values())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_has_the_scopes_of_the_api(client: str) -> None:
    given = set(CLIENTS[client]["defaultClientScopes"]) - {"basic", "gofleet-api"}
    assert given <= {scope.value for scope in Scope}
    assert all(SCOPES[name]["attributes"]["include.in.token.scope"] == "true" for name in given)
    assert client == "shop" or given == {scope.value for scope in Scope}


def test_the_password_grant_is_disabled() -> None:
    assert not [client["clientId"] for client in REALM["clients"] if client["directAccessGrantsEnabled"]]
    assert CLIENTS["gofleet-cli"]["attributes"]["oauth2.device.authorization.grant.enabled"] == "true"
    assert CLIENTS["gofleet-web"]["attributes"]["pkce.code.challenge.method"] == "S256"


def test_tokens_expire_within_the_accepted_lifetime() -> None:
    assert REALM["accessTokenLifespan"] <= SETTINGS.most_seconds

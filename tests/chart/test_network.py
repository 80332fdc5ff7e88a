"""Services, network policies, monitoring and disruption budgets: which pods reach which."""

from __future__ import annotations

from typing import Any

import pytest

from gofleet.roles import ORDER
from gofleet.settings.load import load
from tests.chart.engine import Manifest, default, environment, of_kind, pods, render
from tests.chart.test_rendering import PRODUCTION

SELECTED = "app.kubernetes.io/component"
DNS, POSTGRES, RABBITMQ, REDIS, FLEET, COLLECTOR = 53, 5432, 5672, 6379, 50051, 4317
OUT = {
    "migrate": {DNS, POSTGRES},
    "api": {DNS, POSTGRES, FLEET, REDIS},
    "relay": {DNS, POSTGRES, RABBITMQ},
    "worker": {DNS, POSTGRES, RABBITMQ, REDIS, FLEET},
    "fleet": {DNS, POSTGRES, RABBITMQ, REDIS},
}
IN: dict[str, set[int]] = {
    "migrate": set(),
    "api": {8000, 2112},
    "relay": {2112},
    "worker": {2112},
    "fleet": {FLEET, 2112},
}


def policy(role: str, manifests: list[Manifest] | None = None) -> Manifest:
    return of_kind(manifests or default(), "NetworkPolicy")[f"gofleet-{role}"]["spec"]


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def peers(rules: list[dict[str, Any]], port: int, side: str) -> list[dict[str, Any]]:
    """The peers of the rule on that port; empty = any peer."""
    [rule] = [rule for rule in rules if port in {each["port"] for each in rule["ports"]}]
    return rule.get(side, [])


def matches(selector: dict[str, str], name: str, manifests: list[Manifest] | None = None) -> bool:
    labels = pods(manifests or default())[name]["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_traffic_is_denied_by_default() -> None:
    nothing = policy("nothing")

    assert set(nothing["policyTypes"]) == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & set(nothing)
    assert all(matches(nothing["podSelector"]["matchLabels"], name) for name in (*ORDER, "migrate"))


@pytest.mark.parametrize("role", OUT)
def test_a_role_reaches_only_the_servers_it_needs(role: str) -> None:
    assert ports(policy(role)["egress"]) == OUT[role]
    assert ports(policy(role).get("ingress", [])) == IN[role]
    assert [name for name in OUT if matches(policy(role)["podSelector"]["matchLabels"], name)] == [role]


@pytest.mark.parametrize("role", OUT)
def test_no_role_reaches_rabbitmq_when_redis_is_the_broker(role: str) -> None:
    manifests = render({"settings": {"BROKER": "redis"}})
    needs = {REDIS if port == RABBITMQ else port for port in OUT[role]}

    assert ports(policy(role, manifests)["egress"]) == needs


def test_traces_may_leave_only_with_a_collector() -> None:
    manifests = render({"settings": {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:14317"}})

    assert all(14317 in ports(policy(role, manifests)["egress"]) for role in ORDER)
    assert 14317 not in ports(policy("migrate", manifests)["egress"])


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({"AUTH_ISSUER": "https://login.example.com/realms/gofleet"}, 443),
        ({"AUTH_ISSUER": "https://login.example.com:8443/realms/gofleet"}, 8443),
        ({"AUTH_ISSUER": "https://login.example.com/x", "AUTH_KEYS_URL": "http://keycloak:8080/keys"}, 8080),
    ],
)
def test_the_api_reaches_the_token_issuer(settings: dict[str, str], port: int) -> None:
    manifests = render({"settings": settings})

    assert ports(policy("api", manifests)["egress"]) == OUT["api"] | {port}
    assert all(ports(policy(role, manifests)["egress"]) == OUT[role] for role in OUT if role != "api")
    off = render({"settings": {**settings, "AUTH": "off", "LIMITS": "off"}})
    assert ports(policy("api", off)["egress"]) == {DNS, POSTGRES, FLEET}


def test_only_api_and_worker_call_the_fleet() -> None:
    allowed = [
        peer["podSelector"]["matchLabels"][SELECTED] for peer in peers(policy("fleet")["ingress"], FLEET, "from")
    ]
    callers = [role for role in ORDER if FLEET in ports(policy(role)["egress"])]

    assert sorted(allowed) == sorted(callers) == ["api", "worker"]
    for role in callers:
        [to] = peers(policy(role)["egress"], FLEET, "to")
        assert matches(to["podSelector"]["matchLabels"], "fleet")


def test_production_names_the_namespace_of_every_server() -> None:
    manifests = render(PRODUCTION)
    namespaces = {POSTGRES: "databases", RABBITMQ: "messaging", REDIS: "caches", COLLECTOR: "monitoring"}
    for port, namespace in namespaces.items():
        [peer] = peers(policy("worker", manifests)["egress"], port, "to")
        assert peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
    [client] = peers(policy("api", manifests)["ingress"], 8000, "from")
    assert client["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "ingress-nginx"


@pytest.mark.parametrize("role", ["api", "fleet"])
def test_a_service_selects_the_pods_of_its_role(role: str) -> None:
    service = of_kind(default(), "Service")[f"gofleet-{role}"]["spec"]
    [port] = service["ports"]
    [only] = pods(default())[role]["spec"]["containers"]
    named = {each["name"]: each["containerPort"] for each in only["ports"]}
    settings = load(environment(default(), role), dotenv=None)

    assert [name for name in ORDER if matches(service["selector"], name)] == [role]
    assert named[port["targetPort"]] == {"api": settings.web.port, "fleet": settings.fleet.port}[role]


def test_roles_find_the_fleet_service() -> None:
    for release in ("gofleet", "shop"):
        manifests = render(release=release)
        fleet = load(environment(manifests, "worker"), dotenv=None).fleet
        assert of_kind(manifests, "Service")[fleet.host]["spec"]["ports"][0]["port"] == fleet.port


def test_a_headless_fleet_service_resolves_to_its_pods() -> None:
    headless = render({"roles": {"fleet": {"service": {"headless": True}}}})

    assert of_kind(headless, "Service")["gofleet-fleet"]["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in of_kind(default(), "Service")["gofleet-fleet"]["spec"]


def test_prometheus_finds_every_role_even_when_it_is_not_ready() -> None:
    manifests = render(PRODUCTION)
    service = of_kind(manifests, "Service")["gofleet-metrics"]
    monitor = of_kind(manifests, "ServiceMonitor")["gofleet"]["spec"]

    assert all(matches(service["spec"]["selector"], role, manifests) for role in ORDER)
    assert service["spec"]["publishNotReadyAddresses"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [end["port"] for end in monitor["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("role", ORDER)
def test_one_pod_of_a_role_is_evicted_at_a_time(role: str) -> None:
    budget = of_kind(default(), "PodDisruptionBudget")[f"gofleet-{role}"]["spec"]

    assert budget["maxUnavailable"] == 1
    assert [name for name in ORDER if matches(budget["selector"]["matchLabels"], name)] == [role]


@pytest.mark.parametrize("role", ORDER)
def test_pods_of_a_role_are_spread_over_zones_and_nodes(role: str) -> None:
    spread = pods(default())[role]["spec"]["topologySpreadConstraints"]

    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(matches(each["labelSelector"]["matchLabels"], role) for each in spread)

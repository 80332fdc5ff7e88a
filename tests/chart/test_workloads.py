"""The pods: one image, each role with its settings and passwords, with little power and time to end."""

from __future__ import annotations

from typing import Any

import pytest

from gofleet.domain.messages import DISPATCH_QUEUE
from gofleet.roles import ORDER
from gofleet.settings.load import catalogue, load
from tests.chart.engine import KUBERNETES, check, container, default, environment, of_kind, pods, render
from tests.chart.test_rendering import EVERYTHING, PRODUCTION, VALUES

ALL = (*ORDER, "migrate")
KNOWN = {entry.name for entry in catalogue()}
PASSWORDS = {
    "migrate": {"DB_PASSWORD"},
    "api": {"DB_PASSWORD", "REDIS_PASSWORD"},
    "relay": {"DB_PASSWORD", "RABBITMQ_PASSWORD"},
    "worker": {"DB_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"},
    "fleet": {"DB_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"},
}
each_pod = pytest.mark.parametrize("name", ALL)


def test_every_role_has_a_deployment_of_the_one_image() -> None:
    said = {name: container(template)["args"] for name, template in pods(default()).items()}

    assert said == {role: ["run", "--role", role] for role in ORDER} | {"migrate": ["migrate"]}
    assert {container(template)["image"] for template in pods(default()).values()} == {"gofleet:0.1.0"}
    assert container(pods(render(EVERYTHING))["api"])["image"] == f"gofleet@{EVERYTHING['image']['digest']}"


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_what_a_pod_is_told_are_settings_that_load(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert set(pods(manifests)) >= set(ORDER)
    for name in pods(manifests):
        told = environment(manifests, name)
        assert set(told) <= KNOWN
        load(told, dotenv=None)


@each_pod
def test_a_pod_is_given_the_passwords_it_needs_and_no_other(name: str) -> None:
    entries = [entry for entry in container(pods(default())[name])["env"] if "valueFrom" in entry]

    assert {entry["name"] for entry in entries} == PASSWORDS[name]
    assert {entry["valueFrom"]["secretKeyRef"]["name"] for entry in entries} == {"gofleet"}
    assert all(entry["valueFrom"]["secretKeyRef"]["key"] == entry["name"] for entry in entries)
    assert of_kind(default(), "Secret") == {}


def test_with_redis_for_a_broker_nobody_is_given_rabbitmqs_password() -> None:
    manifests = render({"settings": {"BROKER": "redis"}})

    assert not [name for name in ALL if "RABBITMQ_PASSWORD" in environment(manifests, name)]
    assert "REDIS_PASSWORD" in environment(manifests, "relay")


def test_a_role_may_be_somebody_of_its_own_and_know_others_by_certificates() -> None:
    own = {
        "settings": {"DB_USER": "worker", "DB_POOL_SIZE": 4},
        "existingSecret": "worker",
        "certificates": "worker-tls",
    }
    files = {"settings": {"RABBITMQ_TLS": "on", "RABBITMQ_TLS_CA": "/certificates/ca.crt"}}
    keda = {"keda": {"enabled": True}}
    values = {
        **files,
        "roles": {"worker": {**own, **keda}},
        "migrate": {"certificates": "m", "existingSecret": "owner"},
    }
    manifests = render(values)
    check(manifests, KUBERNETES[-1])
    worker, relay, migrate = (pods(manifests)[name] for name in ("worker", "relay", "migrate"))

    assert environment(manifests, "worker")["DB_USER"] == "worker" != environment(manifests, "relay")["DB_USER"]
    assert environment(manifests, "worker")["DB_POOL_SIZE"] == "4"
    assert _secrets(worker) == {"worker"}
    assert _secrets(relay) == {"gofleet"}
    assert _secrets(migrate) == {"owner"}
    mounted = {"name": "certificates", "mountPath": "/certificates", "readOnly": True}
    assert mounted in container(worker)["volumeMounts"]
    assert mounted not in container(relay)["volumeMounts"]
    assert {"name": "certificates", "secret": {"secretName": "m", "defaultMode": 0o444}} in migrate["spec"]["volumes"]
    [trigger] = of_kind(manifests, "ScaledObject")["gofleet-worker"]["spec"]["triggers"]
    assert trigger["metadata"]["host"] == "amqps://rabbitmq:5672"


def _secrets(template: dict[str, Any]) -> set[str]:
    """Those that its passwords come from."""
    entries = [entry for entry in container(template)["env"] if "valueFrom" in entry]
    return {entry["valueFrom"]["secretKeyRef"]["name"] for entry in entries}


@each_pod
def test_a_pod_may_do_little(name: str) -> None:
    spec = pods(default())[name]["spec"]
    may = container(pods(default())[name])["securityContext"]

    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"]
    assert (may["runAsUser"], may["runAsGroup"], may["runAsNonRoot"]) == (10001, 10001, True)
    assert (may["readOnlyRootFilesystem"], may["allowPrivilegeEscalation"]) == (True, False)
    assert (may["capabilities"], may["seccompProfile"]) == ({"drop": ["ALL"]}, {"type": "RuntimeDefault"})
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]


@each_pod
def test_a_pod_asks_for_what_it_needs_and_has_a_limit(name: str) -> None:
    resources = container(pods(default())[name])["resources"]

    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("role", ORDER)
def test_a_role_is_asked_for_its_health_where_it_answers(role: str) -> None:
    only, told = container(pods(default())[role]), load(environment(default(), role), dotenv=None)
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    asked = {kind: only[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    assert {kind: get["path"] for kind, get in asked.items()} == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    assert {ports[get["port"]] for get in asked.values()} == {told.telemetry.metrics_port} == {2112}


@pytest.mark.parametrize("values", [{}, PRODUCTION], ids=["default", "production"])
@pytest.mark.parametrize("role", ORDER)
def test_a_role_has_time_to_end_its_work(values: dict[str, Any], role: str) -> None:
    manifests = render(values)
    spec = pods(manifests)[role]["spec"]
    waits = container(pods(manifests)[role]).get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})
    grace = load(environment(manifests, role), dotenv=None).general.grace_seconds

    assert spec["terminationGracePeriodSeconds"] > int(waits["preStop"]["exec"]["command"][1]) + grace


def test_the_schema_is_there_before_the_roles_and_by_itself() -> None:
    [job] = of_kind(default(), "Job").values()
    only = container(job["spec"]["template"])

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "before-hook-creation" in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert "envFrom" not in only  # the ConfigMap comes later
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_another_setting_starts_new_pods() -> None:
    def checksum(settings: dict[str, Any]) -> str:
        return pods(render({"settings": settings}))["api"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({}) != checksum({"LOG_LEVEL": "DEBUG"})


def test_numbers_arrive_as_they_are_written() -> None:
    given = {"GRPC_MAX_MESSAGE_BYTES": 16_777_216, "FLEET_TIMEOUT_SECONDS": 0.25, "DEPOT_LAT": "", "DEPOT_LNG": ""}
    told = environment(render({"settings": given}), "fleet")

    assert {name: told[name] for name in given} == {name: str(value) for name, value in given.items()}


def test_who_scales_a_role_decides_alone() -> None:
    usual, production = of_kind(default(), "Deployment"), of_kind(render(PRODUCTION), "Deployment")

    assert [name for name, found in usual.items() if "replicas" not in found["spec"]] == ["gofleet-api"]
    assert {name for name, found in production.items() if "replicas" not in found["spec"]} == {
        "gofleet-api",
        "gofleet-worker",
    }
    assert (
        of_kind(default(), "HorizontalPodAutoscaler")["gofleet-api"]["spec"]["scaleTargetRef"]["name"] == "gofleet-api"
    )


def test_workers_are_scaled_by_the_queue_they_read() -> None:
    manifests = render({**PRODUCTION, "settings": {**PRODUCTION["settings"], "NAME_PREFIX": "north."}})
    spec = of_kind(manifests, "ScaledObject")["gofleet-worker"]["spec"]
    [trigger] = spec["triggers"]
    told = environment(manifests, "worker")

    assert spec["scaleTargetRef"] == {"name": "gofleet-worker"}
    assert trigger["metadata"]["queueName"] == f"north.{DISPATCH_QUEUE}"
    assert trigger["metadata"]["host"] == f"amqp://{told['RABBITMQ_HOST']}:{told['AMQP_PORT']}"
    assert trigger["metadata"]["vhostName"] == told["RABBITMQ_VHOST"]
    assert {trigger["metadata"]["usernameFromEnv"], trigger["metadata"]["passwordFromEnv"]} <= set(told)

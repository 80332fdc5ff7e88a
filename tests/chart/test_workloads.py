"""The pods: one image, each role with its settings and passwords, minimal privileges and time to stop."""

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


def test_every_role_has_a_deployment_of_the_image() -> None:
    arguments = {name: container(template)["args"] for name, template in pods(default()).items()}

    assert arguments == {role: ["run", "--role", role] for role in ORDER} | {"migrate": ["migrate"]}
    assert {container(template)["image"] for template in pods(default()).values()} == {"gofleet:0.1.0"}
    assert container(pods(render(EVERYTHING))["api"])["image"] == f"gofleet@{EVERYTHING['image']['digest']}"


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_environment_of_a_pod_is_valid_settings(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert set(pods(manifests)) >= set(ORDER)
    for name in pods(manifests):
        variables = environment(manifests, name)
        assert set(variables) <= KNOWN
        load(variables, dotenv=None)


@each_pod
def test_a_pod_gets_only_the_passwords_it_needs(name: str) -> None:
    entries = [entry for entry in container(pods(default())[name])["env"] if "valueFrom" in entry]

    assert {entry["name"] for entry in entries} == PASSWORDS[name]
    assert {entry["valueFrom"]["secretKeyRef"]["name"] for entry in entries} == {"gofleet"}
    assert all(entry["valueFrom"]["secretKeyRef"]["key"] == entry["name"] for entry in entries)
    assert of_kind(default(), "Secret") == {}


def test_no_pod_gets_rabbitmqs_password_when_redis_is_the_broker() -> None:
    manifests = render({"settings": {"BROKER": "redis"}})

    assert not [name for name in ALL if "RABBITMQ_PASSWORD" in environment(manifests, name)]
    assert "REDIS_PASSWORD" in environment(manifests, "relay")


def test_a_role_may_have_its_own_login_and_certificates() -> None:
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
    """The names of the Secrets of its passwords."""
    entries = [entry for entry in container(template)["env"] if "valueFrom" in entry]
    return {entry["valueFrom"]["secretKeyRef"]["name"] for entry in entries}


@each_pod
def test_a_pod_has_minimal_privileges(name: str) -> None:
    spec = pods(default())[name]["spec"]
    context = container(pods(default())[name])["securityContext"]

    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (10001, 10001, True)
    assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert (context["capabilities"], context["seccompProfile"]) == ({"drop": ["ALL"]}, {"type": "RuntimeDefault"})
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]


@each_pod
def test_a_pod_has_resource_requests_and_a_memory_limit(name: str) -> None:
    resources = container(pods(default())[name])["resources"]

    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("role", ORDER)
def test_probes_use_the_port_and_paths_of_the_role(role: str) -> None:
    only, settings = container(pods(default())[role]), load(environment(default(), role), dotenv=None)
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    probes = {kind: only[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    assert {kind: get["path"] for kind, get in probes.items()} == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    assert {ports[get["port"]] for get in probes.values()} == {settings.telemetry.metrics_port} == {2112}


@pytest.mark.parametrize("values", [{}, PRODUCTION], ids=["default", "production"])
@pytest.mark.parametrize("role", ORDER)
def test_a_role_has_time_to_stop(values: dict[str, Any], role: str) -> None:
    manifests = render(values)
    spec = pods(manifests)[role]["spec"]
    waits = container(pods(manifests)[role]).get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})
    grace = load(environment(manifests, role), dotenv=None).general.grace_seconds

    assert spec["terminationGracePeriodSeconds"] > int(waits["preStop"]["exec"]["command"][1]) + grace


def test_migrations_run_before_the_roles_and_need_no_other_object() -> None:
    [job] = of_kind(default(), "Job").values()
    only = container(job["spec"]["template"])

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "before-hook-creation" in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert "envFrom" not in only  # the ConfigMap does not exist yet
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_a_changed_setting_replaces_the_pods() -> None:
    def checksum(settings: dict[str, Any]) -> str:
        return pods(render({"settings": settings}))["api"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({}) != checksum({"LOG_LEVEL": "DEBUG"})


def test_numbers_keep_their_notation() -> None:
    settings = {"GRPC_MAX_MESSAGE_BYTES": 16_777_216, "FLEET_TIMEOUT_SECONDS": 0.25, "DEPOT_LAT": "", "DEPOT_LNG": ""}
    variables = environment(render({"settings": settings}), "fleet")

    assert {name: variables[name] for name in settings} == {name: str(value) for name, value in settings.items()}


def test_an_autoscaled_role_has_no_fixed_replicas() -> None:
    usual, production = of_kind(default(), "Deployment"), of_kind(render(PRODUCTION), "Deployment")

    assert [name for name, each in usual.items() if "replicas" not in each["spec"]] == ["gofleet-api"]
    assert {name for name, each in production.items() if "replicas" not in each["spec"]} == {
        "gofleet-api",
        "gofleet-worker",
    }
    assert (
        of_kind(default(), "HorizontalPodAutoscaler")["gofleet-api"]["spec"]["scaleTargetRef"]["name"] == "gofleet-api"
    )


def test_workers_are_scaled_by_the_length_of_their_queue() -> None:
    manifests = render({**PRODUCTION, "settings": {**PRODUCTION["settings"], "NAME_PREFIX": "north."}})
    spec = of_kind(manifests, "ScaledObject")["gofleet-worker"]["spec"]
    [trigger] = spec["triggers"]
    variables = environment(manifests, "worker")

    assert spec["scaleTargetRef"] == {"name": "gofleet-worker"}
    assert trigger["metadata"]["queueName"] == f"north.{DISPATCH_QUEUE}"
    assert trigger["metadata"]["host"] == f"amqp://{variables['RABBITMQ_HOST']}:{variables['AMQP_PORT']}"
    assert trigger["metadata"]["vhostName"] == variables["RABBITMQ_VHOST"]
    assert {trigger["metadata"]["usernameFromEnv"], trigger["metadata"]["passwordFromEnv"]} <= set(variables)

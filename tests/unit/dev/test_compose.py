"""What docker-compose.yml and the Dockerfile promise: one way in, nothing to write to, no secret in an environment."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator.options import AUTH_TOKEN
from smsapp.servers.secret_files import FILED

ROOT = Path(__file__).parent.parent.parent.parent
SERVICE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ON_TOP = yaml.safe_load((ROOT / "docker-compose.simulator.yml").read_text())
OURS = ("web", "worker", "beat", "flower")
SIMULATOR = ON_TOP["services"]["simulator"]

every_container = pytest.mark.parametrize(
    "container",
    [*SERVICE["services"].values(), SIMULATOR],
    ids=[*SERVICE["services"], "simulator"],
)


def test_only_the_proxy_publishes_ports_and_flowers_only_to_this_machine() -> None:
    published = {name: each["ports"] for name, each in SERVICE["services"].items() if "ports" in each}

    assert set(published) == {"proxy"}
    for port in published["proxy"]:
        inside = port.rpartition(":")[2]
        assert inside in {"80", "443"} or (inside == "5555" and port.startswith("127.0.0.1:"))


def test_what_the_simulator_adds_is_published_to_this_machine_only() -> None:
    for each in ON_TOP["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))


def test_the_proxy_leads_to_the_service_and_knows_no_database() -> None:
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()

    assert re.findall(r"reverse_proxy (\S+)", caddyfile) == ["web:8000", "flower:5555"]
    assert SERVICE["services"]["proxy"]["networks"] == ["front"]
    assert {name: SERVICE["services"][name]["networks"] for name in ("redis", "postgres")} == {
        "redis": ["data"],
        "postgres": ["data"],
    }
    assert SERVICE["networks"]["data"]["internal"] is True


@every_container
def test_every_container_is_read_only_with_a_bounded_tmp(container: dict[str, Any]) -> None:
    assert container["read_only"] is True
    assert "/tmp" in {mount.partition(":")[0] for mount in container["tmpfs"]}  # noqa: S108 - a container's own
    assert all(re.search(r":size=\d+m,", mount) for mount in container["tmpfs"])
    assert container["security_opt"] == ["no-new-privileges:true"]


@every_container
def test_no_container_has_a_secret_in_its_environment_or_command(container: dict[str, Any]) -> None:
    environment = {name: str(value) for name, value in container.get("environment", {}).items()}
    if container is SIMULATOR:
        assert environment.pop("TWILIO_AUTH_TOKEN") == AUTH_TOKEN

    secret = re.compile(r"PASSWORD|TOKEN|SECRET|_URL$")
    held = {name for name, value in environment.items() if secret.search(name) and value}
    addresses = {"APP_BASE_URL", "TWILIO_API_BASE_URL", "SIMULATOR_INBOUND_URL"}
    assert {name for name in held - addresses if not name.endswith("_FILE")} == set()
    assert "requirepass" not in str(container.get("command", ""))


@pytest.mark.parametrize("name", OURS)
def test_our_processes_are_production_and_read_their_secrets_from_files(name: str) -> None:
    service = SERVICE["services"][name]
    environment = service["environment"]

    assert environment["ENV"] == "production"
    assert service["cap_drop"] == ["ALL"]
    for secret in FILED:
        path = environment[f"{secret.upper()}_FILE"]
        assert path.removeprefix("/run/secrets/") in service["secrets"]
        assert path.removeprefix("/run/secrets/") in SERVICE["secrets"]


def test_redis_refuses_strangers_and_evicts_nothing() -> None:
    command = SERVICE["services"]["redis"]["command"]

    assert command.startswith("redis-server /run/secrets/redis_conf ")
    assert "--maxmemory-policy noeviction" in command


def test_the_simulators_public_token_is_no_production() -> None:
    for name in OURS:
        assert ON_TOP["services"][name]["environment"]["ENV"] == "development"
    assert (ROOT / ON_TOP["secrets"]["twilio_auth_token"]["file"]).read_text().strip() == AUTH_TOKEN


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    users = re.findall(r"(?m)^USER (.+)$", (ROOT / "Dockerfile").read_text())

    assert users == ["10001:10001"]

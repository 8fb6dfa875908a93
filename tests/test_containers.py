"""The files under `docker/`, against the clients and schemas that read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"


def tool(name: str) -> str:
    """Path of a program; skips the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def compose_command() -> list[str]:
    """The compose client, as a plug-in of docker or a program of its own; neither needs an engine."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        return [docker, "compose"]
    return [tool("docker-compose")]


def compose_config(folder: Path, token: str | None) -> subprocess.CompletedProcess[str]:
    nothing = folder / "nothing.env"  # instead of a docker/.env of this machine
    nothing.touch()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    if token is not None:
        environment["RAY_AUTH_TOKEN"] = token
    return subprocess.run(
        [*compose_command(), "--env-file", str(nothing), "-f", str(DOCKER / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        env=environment,
    )


def rayjob() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((DOCKER / "rayjob.yaml").read_text()))
    return next(document for document in documents if document["kind"] == "RayJob")


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    result = subprocess.run([tool("hadolint"), str(DOCKER / "Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_final_image_has_no_compiler_and_no_root() -> None:
    final = re.split(r"^FROM ", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)[-1]
    assert not re.search(r"\b(gcc|g\+\+|build-essential|clang|make)\b", final)
    assert re.findall(r"^USER (.*)$", final, flags=re.MULTILINE) == ["1000"]
    assert "RAY_AUTH_MODE=token" in final


def test_everything_the_wheel_needs_is_sent_to_the_build() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml",
        build["project"]["readme"],
        *build["project"]["license-files"],
        *build["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
        *build["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"],
        "docker/constraints.txt",
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == needed


def test_constraints_fit_the_declared_dependencies() -> None:
    requirements = pytest.importorskip("packaging.requirements")
    lines = (DOCKER / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = requirements.Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name]), text


def test_compose_accepts_the_file_and_publishes_to_loopback_only(tmp_path: Path) -> None:
    result = compose_config(tmp_path, "secret")
    assert result.returncode == 0, result.stderr
    services = yaml.safe_load(result.stdout)["services"]
    assert set(services) == {"head", "worker", "tensorboard", "prometheus", "grafana"}
    ports = [port for service in services.values() for port in service.get("ports", [])]
    hosts = {port["host_ip"] if isinstance(port, dict) else port.split(":")[0] for port in ports}
    assert (len(ports), hosts) == (3, {"127.0.0.1"})
    assert {
        name for name, service in services.items() if "RAY_AUTH_TOKEN" in service.get("environment", {})
    } == {
        "head",
        "worker",
    }


@pytest.mark.parametrize("token", [None, ""])
def test_compose_does_not_start_without_a_token(tmp_path: Path, token: str | None) -> None:
    result = compose_config(tmp_path, token)
    assert result.returncode != 0
    assert "put a token into docker/.env" in result.stderr


def test_the_example_environment_names_what_compose_reads_and_holds_no_token() -> None:
    lines = (DOCKER / "env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    assert set(settings) == used
    assert settings["RAY_AUTH_TOKEN"] == ""


def test_git_ignores_the_token_file() -> None:
    result = subprocess.run([tool("git"), "check-ignore", "--quiet", "docker/.env"], cwd=ROOT)
    if result.returncode == 128:
        pytest.skip("not a git checkout")
    assert result.returncode == 0


def test_ray_accepts_the_cluster_launcher_file() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    config = yaml.safe_load((DOCKER / "cluster.yaml").read_text())
    util.validate_config(util.prepare_config(config))
    head = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert any(path.endswith("/.ray/auth_token") for path in config["file_mounts"])


def test_rayjob_asks_for_a_token_and_for_the_ray_of_the_image() -> None:
    cluster = rayjob()["spec"]["rayClusterSpec"]
    pins = (DOCKER / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster['rayVersion']}" in pins
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_pods_of_the_rayjob_fit_the_kubernetes_api() -> None:
    models = pytest.importorskip("kubernetes.client.models", reason="the kubernetes client is not installed")
    cluster = rayjob()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        check_fields(group["template"], "V1PodTemplateSpec", models, "template")


def check_fields(value: Any, kind: str, models: Any, where: str) -> None:
    """Stop at a field that the type `kind` of the Kubernetes API does not have."""
    if match := re.fullmatch(r"(list|dict)[\[(](?:str, )?(\w+)[\])]", kind):
        assert isinstance(value, list if match[1] == "list" else dict), where
        items = enumerate(value) if isinstance(value, list) else value.items()
        for key, item in items:
            check_fields(item, match[2], models, f"{where}.{key}")
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, f"{where}: {value!r} is not {kind}"
    elif hasattr(models, kind):
        model = getattr(models, kind)
        names = {outside: inside for inside, outside in model.attribute_map.items()}
        assert set(value) <= set(names), f"{where}: unknown {set(value) - set(names)}"
        for name, item in value.items():
            check_fields(item, model.openapi_types[names[name]], models, f"{where}.{name}")

"""The example for containers: every part names the same hosts, and its pipeline can be checked."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.config import read_config
from pipeline.graph import build_graph

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "docs" / "examples" / "deploy"


def hosts(folder: Path) -> set[str]:
    """The hosts of the example beside home; in the image the project lies in /opt."""
    text = (DEPLOY / "pipeline.toml").read_text()
    path = folder / "pipeline.toml"
    text = text.replace("/opt/event-pipeline", str(REPOSITORY)).replace("/out/", f"{folder}/")
    path.write_text(text)
    return set(build_graph(read_config(path)).hosts)


def agent_of(command: list[str]) -> str:
    assert command[:2] == ["agent", "/etc/pipeline/pipeline.toml"]
    return command[command.index("--host") + 1]


def test_compose_has_a_service_for_each_host(tmp_path: Path) -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert services.keys() == {"home"} | hosts(tmp_path)
    for name in hosts(tmp_path):
        assert agent_of(services[name]["command"]) == name


def test_kubernetes_has_an_agent_for_each_host_and_an_address_for_home(tmp_path: Path) -> None:
    parts = [*yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())]
    agents = {
        agent_of(containers(part)[0]["args"]) for part in parts if part["kind"] == "Deployment"
    }
    assert agents == hosts(tmp_path)
    (service,) = (part for part in parts if part["kind"] == "Service")
    address = read_config(DEPLOY / "pipeline.toml").run.address
    assert address == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


def containers(part: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = part["spec"]["template"]["spec"]["containers"]
    return found

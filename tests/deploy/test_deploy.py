"""What ships the service: checked by its own linters and schemas, and held to what the service really offers."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import create_app
from service.observability.metrics import Metrics
from service.settings import VARIABLES, Settings
from tests.support.fakes import FakePredictor

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(*command: str | Path) -> str:
    """Run a tool, of this Python's environment if it is there, and return what it says; it must find nothing wrong."""
    tool = Path(sys.executable).with_name(str(command[0]))
    path = tool if tool.exists() else shutil.which(str(command[0]))
    if path is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions(value: object) -> list[str]:
    """Return every PromQL expression of a dashboard or of rules."""
    if isinstance(value, dict):
        own = [
            value[key] for key in ("expr", "query", "metricsQuery", "seriesQuery") if isinstance(value.get(key), str)
        ]
        return own + [found for part in value.values() for found in expressions(part)]
    return [found for part in value for found in expressions(part)] if isinstance(value, list) else []


@pytest.fixture(scope="module")
def series() -> set[str]:
    """Return the name of every series that the service can have, with its suffixes."""
    names = set()
    for metric in Metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"]}
        names |= {metric.name + suffix for suffix in suffixes.get(metric.type, [""])}
    return names


@pytest.mark.parametrize("name", ["grafana/captioner.json", "prometheus/alerts.yml", "prometheus/adapter-values.yaml"])
def test_what_is_watched_is_what_the_service_tells(name: str, series: set[str]) -> None:
    found = expressions(read_yaml(DEPLOY / name))  # JSON is YAML
    used = {word for text in found for word in re.findall(r"\b(?:captioner|process)_\w+", text)}
    assert used
    assert used <= series


def test_the_dashboard_shows_every_metric(series: set[str]) -> None:
    text = " ".join(expressions(json.loads((DEPLOY / "grafana/captioner.json").read_text(encoding="utf-8"))))
    for name in series:
        if name.startswith("captioner_"):
            assert name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") in text


def test_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads((DEPLOY / "grafana/captioner.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert max(column for column, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_is_tested_and_explained() -> None:
    alerts = [rule["alert"] for rule in read_yaml(DEPLOY / "prometheus/alerts.yml")["groups"][0]["rules"]]
    quiet, firing = read_yaml(DEPLOY / "prometheus/alerts_test.yml")["tests"]
    fired = [re.findall(r'"(\w+)"', sample["labels"])[0] for sample in firing["promql_expr_test"][0]["exp_samples"]]
    assert [case["alertname"] for case in quiet["alert_rule_test"]] == fired == alerts
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    for alert in alerts:
        assert f"`{alert}`" in guide


def test_every_metric_is_explained(series: set[str]) -> None:
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    explained = {
        name
        for line in guide.splitlines()
        if line.startswith("| `captioner_")
        for name in re.findall(r"`(captioner_\w+)`", line)
    }
    suffixed = {name + suffix for name in explained for suffix in ("", "_bucket", "_sum", "_count")}
    assert {name for name in series if name.startswith("captioner_")} <= suffixed
    assert all(name in series or f"{name}_count" in series for name in explained)


def test_settings_that_are_deployed_exist() -> None:
    files = [ROOT / "Dockerfile", DEPLOY / "compose.yaml", DEPLOY / "kubernetes/deployment.yaml"]
    names = {name for path in files for name in re.findall(rf"(?<!which sets ){VARIABLES}(\w+)[=:,]", path.read_text())}
    assert names
    assert names - {"PORT"} <= {name.upper() for name in Settings.__dataclass_fields__}


def test_nginx_lets_through_what_the_service_takes() -> None:
    text = (DEPLOY / "nginx/nginx.conf").read_text(encoding="utf-8")
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(megabytes) * 2**20 > create_app(FakePredictor()).config["MAX_CONTENT_LENGTH"]
    for problem in re.findall(r"return \d+ '(.+)';", text):
        assert {"type", "title", "status", "detail"} == set(json.loads(problem))


def test_files_that_compose_mounts_exist() -> None:
    compose = read_yaml(DEPLOY / "compose.yaml")
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) == 4
    assert all((DEPLOY / file).exists() for file in files)
    for service in compose["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_pods_are_as_locked_up_as_they_can_be() -> None:
    pod = read_yaml(DEPLOY / "kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert pod["enableServiceLinks"] is False
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    user = re.findall(r"USER (\d+):", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert user == [str(pod["securityContext"]["runAsUser"])]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    kubernetes_validate.validate(read_yaml(path), kubernetes_validate.latest_version(), strict=True)


def test_yaml_is_tidy() -> None:
    run("yamllint", "--strict", ".yamllint", "deploy")


def test_compose_is_what_docker_takes() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")


def test_the_dockerfile_is_sound() -> None:
    run("hadolint", "Dockerfile")


def test_prometheus_takes_its_configuration_and_its_alerts_fire() -> None:
    run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")
    run("promtool", "test", "rules", "deploy/prometheus/alerts_test.yml")


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx/nginx.conf").read_text(encoding="utf-8")
    (tmp_path / "nginx.conf").write_text(text.replace("captioner:8000", "127.0.0.1:8000"), encoding="utf-8")
    run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")

"""What deploy/ names is there: options, routes, ports, addresses, files. Running it takes a container engine."""

import ipaddress
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.main import get_command

from labeling_app.commands.serve import app
from labeling_app.settings import Settings
from labeling_app.web.api import install
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_state

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
REPLICAS = [SERVICES["bench1"], SERVICES["bench2"]]
NETWORK = COMPOSE["networks"]["inside"]["ipam"]["config"][0]
PORT = Settings(Path("x")).port


def parse(words):
    """Return the options that a command line sets, its command found and nothing run."""
    command = get_command(app)
    while words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command.make_context("labeling_app", list(words)).params


@pytest.mark.parametrize("replica", REPLICAS)
def test_replicas_start_with_options_that_exist(replica):
    options = parse(replica["command"])
    data, folder, mode = replica["volumes"][0].rsplit(":", 2)
    assert (options["host"], options["port"], mode) == ("0.0.0.0", PORT, "ro")
    assert options["manifest"].parent == Path(folder)
    assert options["trusted_proxy"] == [NETWORK["subnet"]]
    database = SERVICES["database"]["environment"]
    user, password = database["POSTGRES_USER"], database["POSTGRES_PASSWORD"]
    assert options["db"] == f"postgresql+psycopg://{user}:{password}@database/{database['POSTGRES_DB']}"
    assert "DATA" in data


def test_the_commands_of_the_comment_exist():
    comment = (DEPLOY / "compose.yaml").read_text().partition("\nname:")[0]
    comment = re.sub(r"\\\n# +", "", comment)
    commands = [
        shlex.split(line.partition("    ")[0]) for line in re.findall(r"docker compose run .* tools (.*)", comment)
    ]
    assert [words[0] for words in commands] == ["users", "export"]
    assert all(parse(words)["db"] == "$DB" for words in commands)


def test_addresses():
    subnet, free = (ipaddress.ip_network(NETWORK[name]) for name in ("subnet", "ip_range"))
    fixed = [ipaddress.ip_address(replica["networks"]["inside"]["ipv4_address"]) for replica in REPLICAS]
    assert len(set(fixed)) == 2
    assert all(address in subnet and address not in free for address in fixed)


def test_nginx_sends_to_the_replicas():
    text = (DEPLOY / "nginx.conf").read_text()
    assert re.findall(r"server (\w+):(\d+) max_fails", text) == [("bench1", str(PORT)), ("bench2", str(PORT))]
    listens = re.search(r"listen (\d+);", text)[1]
    assert SERVICES["nginx"]["ports"] == [f"8080:{listens}"]
    assert SERVICES["nginx"]["volumes"][0].startswith("./nginx.conf:")


def test_nginx_knows_the_session_by_its_cookie(manifest, sqlite_url):
    state = make_state(manifest, sqlite_url)
    add_user(state.store, "anna", password=PASSWORD)
    client = Client(state)
    client.sign_in("anna")
    ((name, value),) = client.http.cookies.items()
    pattern = re.search(r'"~(.*)"', (DEPLOY / "nginx.conf").read_text())[1].replace("(?<", "(?P<")
    assert re.search(pattern, f"theme=dark; {name}={value}; other=1")["session"] == value
    state.close()


def test_the_health_check_asks_a_route_that_answers_without_a_session(manifest, sqlite_url):
    (path,) = {re.search(rf":{PORT}(/\w+)", replica["healthcheck"]["test"][-1])[1] for replica in REPLICAS}
    state, web = make_state(manifest, sqlite_url), FastAPI()
    install(web, state)
    assert TestClient(web).get(path).status_code == 200
    state.close()


def test_the_image_is_made_of_what_is_there():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"pyproject.toml", project["project"]["readme"], "LICENSE"} == copied
    assert '".[postgresql]"' in "\n".join(lines)
    assert "postgresql" in project["project"]["optional-dependencies"]
    assert f"EXPOSE {PORT}" in lines
    assert 'ENTRYPOINT ["python", "-m", "labeling_app"]' in lines

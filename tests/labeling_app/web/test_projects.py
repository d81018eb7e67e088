"""Several projects on one server: people, votes, cookies and addresses of one never meet another's."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from dataset_tools.errors import UsageError
from labeling_app.commands.serve import main
from labeling_app.database.events import now_us
from labeling_app.projects import read_projects
from labeling_app.settings import Settings
from labeling_app.web.projects import create_projects_app
from tests.labeling_app.helpers import PASSWORD, add_user, make_manifest, make_state

HOME = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> ASGIApp:
    """Ada labels both projects, as administrator of one; Bo is known in one only."""
    folder = tmp_path_factory.mktemp("projects")
    for name, people in {"cats": {"Ada": "admin", "Bo": "annotator"}, "dogs": {"Ada": "annotator"}}.items():
        state = make_state(make_manifest(folder / name, 4), clock=now_us)
        for person, role in people.items():
            add_user(state.store, person, role=role, password=PASSWORD)
        state.close()
    listed = folder / "projects.yaml"
    listed.write_text(
        "cats: {manifest: cats/data_manifest.parquet, gold_rate: 0}\n"
        "dogs: {manifest: dogs/data_manifest.parquet, overlap: 1, gold_rate: 0}\n"
    )
    return create_projects_app(read_projects(listed, Settings(Path("unused"))))


def sign_in(client: TestClient, project: str, name: str) -> dict[str, str]:
    """Sign in and return the headers of a change."""
    reply = client.post(f"/{project}/signin", json={"name": name, "password": PASSWORD})
    assert reply.status_code == 200, reply.text
    return {"X-CSRF-Token": reply.json()["csrf"]}


def test_the_list_and_the_way_to_the_sign_in(application: ASGIApp) -> None:
    with TestClient(application, base_url=HOME) as client:
        assert ['href="cats/"' in client.get("/").text, 'href="dogs/"' in client.get("/").text] == [True, True]
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/birds/").status_code == 404
        reply = client.get("/cats/", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (303, "/cats/signin")
        page = client.get("/cats/signin").text
        assert 'action="signin"' in page
        assert 'src="./viewer/' in page
        # What Gradio brings stays shut below a name too.
        assert client.get("/cats/gradio_api/info").status_code == 404


def test_a_session_of_one_project_is_none_in_the_other(application: ASGIApp) -> None:
    with TestClient(application, base_url=HOME) as client:
        csrf = sign_in(client, "cats", "Bo")
        (cookie,) = client.cookies.jar
        assert cookie.path == "/cats/"
        assert client.get("/cats/api/session").json()["user"] == "Bo"
        assert client.get("/dogs/api/session").status_code == 401
        stolen = {"Cookie": f"{cookie.name}={cookie.value}"}
        assert client.get("/dogs/api/session", headers=stolen).status_code == 401
        assert client.post("/dogs/signin", json={"name": "Bo", "password": PASSWORD}).status_code == 401
        assert client.post("/cats/signout", json={}, headers=csrf).json()["next"] == "/cats/signin"


def test_roles_and_votes_are_a_projects_own(application: ASGIApp) -> None:
    with TestClient(application, base_url=HOME) as client:
        csrf = sign_in(client, "cats", "Ada")
        assert client.get("/cats/api/users").status_code == 200
        item = client.post("/cats/api/items", json={"count": 1}, headers=csrf).json()["items"][0]
        assert {address.split("/")[1] for address in item["images"].values() if address} == {"cats"}
        assert client.get(item["images"]["gt"]).headers["content-type"] == "image/png"
        vote = {"vote_id": "v" * 16, "assignment_id": item["assignment_id"], "level": 2}
        assert client.post("/cats/api/votes", json=vote, headers=csrf).status_code == 200
        sign_in(client, "dogs", "Ada")
        assert client.get("/dogs/api/users").status_code == 403
        done = {name: client.get(f"/{name}/api/session").json()["progress"]["done"] for name in ("cats", "dogs")}
        assert done == {"cats": 1, "dogs": 0}


@pytest.mark.parametrize("option", ["--manifest", "--db", "--against"])
def test_what_the_file_says_is_not_said_beside_it(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--projects", str(tmp_path / "projects.yaml"), option, "other"]) == 2
    assert "leave out --manifest, --db and --against" in capsys.readouterr().err


def test_what_a_project_does_not_say_is_the_servers(tmp_path: Path) -> None:
    listed = tmp_path / "projects.yaml"
    listed.write_text(
        "cats: {manifest: a.parquet, overlap: 5, blind: true}\ndogs: {manifest: d/b.parquet, db: other}\n"
    )
    server = Settings(Path("unused"), port=8000, overlap=2, order="uncertain")
    cats, dogs = read_projects(listed, server).values()
    assert (cats.manifest, cats.overlap, cats.blind, cats.order) == (tmp_path / "a.parquet", 5, True, "uncertain")
    assert (cats.root_path, cats.port, dogs.overlap, dogs.blind, dogs.db_url) == ("/cats", 8000, 2, False, "other")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- a\n- b\n", "one or more projects"),
        ("{}", "one or more projects"),
        ("cats: [1", "is not YAML"),
        ("cats: {manifest: a.parquet}\ncats: {manifest: b/b.parquet}", "line 2: 'cats' stands twice"),
        ("cats: {manifest: a.parquet, overlap: 3, overlap: 5}", "'overlap' stands twice"),
        ("../cats: {manifest: a.parquet}", "a name has 1 to 40"),
        ("'<b>': {manifest: a.parquet}", "a name has 1 to 40"),
        ("healthz: {manifest: a.parquet}", "is not one of healthz, texts, viewer"),
        ("cats: {overlap: 3}", "must name its manifest"),
        ("cats: {manifest: a.parquet, host: 0.0.0.0}", "'host' is not one of"),
        ("cats: {manifest: a.parquet, overlap: 0}", "overlap is 0; it must lie in 1 to 100"),
        ("cats: {manifest: a.parquet, overlap: true}", "overlap is True; it must be int"),
        ("cats: {manifest: a.parquet, gold_rate: much}", "gold_rate is 'much'; it must be float"),
        ("cats: {manifest: a.parquet, order: last}", "order is 'last'; it must be one of random"),
        ("cats: {manifest: a.parquet}\ndogs: {manifest: b.parquet}", "share a database"),
        (
            "cats: {manifest: c/a.parquet}\ndogs: {manifest: b, db: 'sqlite:///c/../c/labels.sqlite'}",
            "share a database",
        ),
    ],
)
def test_a_wrong_file_is_one_line(content: str, words: str, tmp_path: Path) -> None:
    listed = tmp_path / "projects.yaml"
    listed.write_text(content)
    with pytest.raises(UsageError) as raised:
        read_projects(listed, Settings(Path("unused")))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)

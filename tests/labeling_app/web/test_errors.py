"""Every refusal has a code that stays, and every code a text in every language."""

import json

import pytest

from labeling_app.web.errors import STATUS
from labeling_app.web.page import TEXTS
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_state

VOTE = {"vote_id": "vote-99999", "assignment_id": 999, "level": 1}


@pytest.mark.parametrize("path", sorted(TEXTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_code_has_a_text(path):
    keys = {key for key in json.loads(path.read_text(encoding="utf-8")) if key.startswith("refused.")}
    assert keys == {f"refused.{code}" for code in STATUS}


@pytest.fixture
def state(sqlite_url, manifest):
    opened = make_state(manifest, sqlite_url)
    for name, role in {"anna": "annotator", "boss": "admin"}.items():
        add_user(opened.store, name, role=role, password=PASSWORD)
    yield opened
    opened.close()


def test_codes(state):
    stranger, anna, boss = (Client(state, address=address) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert anna.sign_in("anna").status_code == boss.sign_in("boss").status_code == 200
    (item,) = anna.items()
    assert anna.vote(item).status_code == 200
    big, json_type = b"x" * 70_000, {"Content-Type": "application/json", "X-CSRF-Token": anna.csrf}
    refused = [
        (stranger.get("/api/session"), "sign_in_first"),
        (stranger.sign_in("boss", "a wrong password"), "wrong_password"),
        (stranger.sign_in("<b>"), "name"),
        (stranger.http.post("/signin", content=b"["), "request"),
        (stranger.http.post("/signin", json={}, headers={"Sec-Fetch-Site": "cross-site"}), "foreign_page"),
        (stranger.http.post("/signin", content=big), "too_large"),
        (stranger.http.post("/signin", content=(big for _ in range(2))), "too_large"),
        (anna.http.post("/api/votes", json=VOTE), "csrf"),
        (anna.get("/api/stats"), "role"),
        (anna.post("/api/votes", VOTE), "not_yours"),
        (anna.vote(item, 3), "conflict"),
        (anna.post("/api/votes", {**VOTE, "level": 9}), "fields"),
        (anna.http.post("/api/votes", content=b"\xff[", headers=json_type), "request"),
        (anna.http.post("/api/votes", content=b'{"vote_id": "half a letter \\ud800"}', headers=json_type), "fields"),
        (anna.http.put("/api/settings", json={"x": "y" * 9000}, headers=json_type), "too_large"),
        (anna.get("/img/0"), "no_image"),
        (anna.post("/img/0"), "request"),
        (boss.post("/api/users", {"name": "a/b"}), "name"),
    ]
    while (last := stranger.sign_in("boss", "a wrong password")).status_code == 401:
        pass
    refused.append((last, "too_many_attempts"))
    assert [answer.json()["code"] for answer, _ in refused] == [code for _, code in refused]
    odd = [answer for answer, code in refused if answer.status_code != STATUS[code]]
    assert [(answer.status_code, answer.headers.get("allow")) for answer in odd] == [(405, "GET")]
    assert all(answer.json()["detail"] for answer, _ in refused)
    assert last.headers["retry-after"]
    assert refused[0][0].headers["www-authenticate"] == "Bearer"

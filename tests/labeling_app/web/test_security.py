"""What an attacker tries is refused: done-when 5 of the labelling issue, and what browsers make possible."""

import pytest
from sqlalchemy import text

from dataset_tools.errors import UsageError
from labeling_app.commands.serve import check_access
from labeling_app.settings import Settings
from tests.labeling_app.helpers import PASSWORD, Client, FakeClock, add_user, make_state

METACHARACTERS = "'; DROP TABLE events; -- \" \\ % _ ${7*7} <script>alert(1)</script> {{7*7}} \u202e"
CHANGES = [
    ("POST", "/api/items"),
    ("POST", "/api/votes"),
    ("POST", "/api/undo"),
    ("POST", "/api/skips"),
    ("POST", "/api/comments"),
    ("POST", "/api/heartbeat"),
    ("PUT", "/api/settings"),
    ("POST", "/api/review"),
    ("POST", "/api/gold"),
    ("POST", "/api/users"),
]
READS = ["/api/session", "/api/progress", "/api/stats", "/api/review", "/api/users", "/api/export"]


@pytest.fixture
def state(sqlite_url, manifest):
    opened = make_state(manifest, sqlite_url, clock=FakeClock())
    for name, role in {"anna": "annotator", "ben": "annotator", "rita": "reviewer", "boss": "admin"}.items():
        add_user(opened.store, name, role=role, password=PASSWORD)
    yield opened
    opened.close()


def signed_in(state, name):
    client = Client(state)
    assert client.sign_in(name).status_code == 200
    return client


def test_nothing_without_signing_in(state):
    stranger = Client(state)
    assert {stranger.get(path).status_code for path in READS} == {401}
    assert {stranger.http.request(method, path, json={}).status_code for method, path in CHANGES} == {401}
    image = signed_in(state, "anna").items()[0]["images"]["gt"]
    assert stranger.get(image).status_code == 401


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("anna", ["/api/stats", "/api/review", "/api/users", "/api/export"]),
        ("rita", ["/api/users", "/api/export"]),
        ("boss", []),
    ],
)
def test_roles(state, name, refused):
    client = signed_in(state, name)
    assert [path for path in READS if client.get(path).status_code == 403] == refused
    writes = {"/api/users": {"name": "x"}, "/api/review": {"verdict_id": "verdict-01", "item_id": 1, "level": 1}}
    for path, body in writes.items():
        assert (client.post(path, body).status_code == 403) == (path in refused)


def test_another_users_session_and_assignments(state):
    anna, ben = signed_in(state, "anna"), signed_in(state, "ben")
    (item,) = anna.items()
    assert ben.vote(item).status_code == 404
    assert ben.post("/api/skips", {"skip_id": "skip-00001", "assignment_id": item["assignment_id"]}).status_code == 404
    body = {"comment_id": "comment-01", "assignment_id": item["assignment_id"], "text": "x"}
    assert ben.post("/api/comments", body).status_code == 404
    # anna's vote id tells ben nothing and does not stop him from using the same.
    anna.vote(item)
    (own,) = ben.items()
    assert not ben.vote(own, vote_id=f"vote-{item['assignment_id']:05d}").json()["duplicate"]
    # A session that is over, invented or borrowed without its CSRF token is nothing.
    ((name, cookie),) = anna.http.cookies.items()
    assert anna.post("/signout").status_code == 200
    for value in (cookie, "x", cookie[:-1], ""):
        assert Client(state).get("/api/session", headers={"Cookie": f"{name}={value}"}).status_code == 401


def test_csrf(state):
    boss, other = signed_in(state, "boss"), signed_in(state, "boss")
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": other.csrf}):
        answers = {change: boss.http.request(*change, json={}, headers=headers).status_code for change in CHANGES}
        assert answers == dict.fromkeys(CHANGES, 403)


def test_csrf_at_the_door(state):
    anna = signed_in(state, "anna")
    assert anna.http.post("/signout").status_code == 403
    assert anna.get("/api/session").status_code == 200
    credentials = {"name": "anna", "password": PASSWORD}
    answer = Client(state).http.post("/signin", data=credentials, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(state, manifest):
    answer = Client(state).sign_in("anna")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    behind = make_state(manifest, state.store.url, trusted_proxies=("10.0.0.0/8",))
    secure = {}
    for address in ("10.1.2.3", "127.0.0.1"):  # a proxy we trust, and one that nobody told us of
        sent = {"json": {"name": "anna", "password": PASSWORD}, "headers": {"X-Forwarded-Proto": "https"}}
        answer = Client(behind, address=address).http.post("/signin", **sent)
        secure[address] = "Secure" in answer.headers["set-cookie"]
    assert secure == {"10.1.2.3": True, "127.0.0.1": False}
    behind.close()


def test_media_by_guessed_ids_and_path_tricks(state):
    anna = signed_in(state, "anna")
    guesses = [
        "0" * 32, "1", "img0.png", "../labels.sqlite", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
        "data_manifest.parquet", "....//labels.sqlite", "%00", "a" * 5000,
    ]  # fmt: skip
    assert {guess: anna.get(f"/img/{guess}").status_code for guess in guesses} == dict.fromkeys(guesses, 404)


def test_a_link_out_of_the_data_set_is_not_followed(state, tmp_path):
    anna = signed_in(state, "anna")
    (item,) = anna.items()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"\x89PNG secret")
    target = state.settings.manifest.parent / "gt.png"
    target.unlink()
    target.symlink_to(secret)
    assert anna.get(item["images"]["gt"]).status_code == 404


def test_media_addresses_tell_nothing(state):
    addresses = [
        address for item in signed_in(state, "anna").items(5) for address in item["images"].values() if address
    ]
    assert len(set(addresses)) == 20  # the same pixels in another triplet or role have another address
    assert not any(word in address for address in addresses for word in ("pred", "gt", "clip", "png"))


def test_user_text_is_data(state):
    anna, rita = signed_in(state, "anna"), signed_in(state, "rita")
    (item,) = anna.items()
    anna.vote(item, 1, comment=METACHARACTERS)
    ben = signed_in(state, "ben")
    while items := ben.items(5):
        for other in items:
            ben.vote(other, 4)
    (review,) = rita.get("/api/review").json()["items"]
    assert METACHARACTERS in [vote["comment"] for vote in review["votes"]]
    settings = {"keys": {METACHARACTERS: METACHARACTERS}}
    anna.http.put("/api/settings", json=settings, headers={"X-CSRF-Token": anna.csrf})
    assert anna.get("/api/session").json()["settings"] == settings
    assert anna.get("/api/session").headers["content-type"] == "application/json"
    with state.store.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM events WHERE kind = 'vote'")).scalar_one() == 43


def test_names_with_metacharacters_do_not_sign_in(state):
    names = [METACHARACTERS, "' OR 1=1 --", "anna' --", "anna\x00", "<img src=x onerror=alert(1)>"]
    assert {name: Client(state).sign_in(name).status_code for name in names} == dict.fromkeys(names, 400)


def test_malformed_votes(state):
    anna = signed_in(state, "anna")
    (item,) = anna.items()
    vote = {"vote_id": "vote-00001", "assignment_id": item["assignment_id"], "level": 1}
    changes = [
        {"level": 0}, {"level": 5}, {"level": "2; DROP TABLE"}, {"level": 2.5}, {"seconds": -1}, {"seconds": "NaN"},
        {"vote_id": "short"}, {"vote_id": "' OR 1=1 --------"}, {"assignment_id": "1 OR 1=1"}, {"assignment_id": None},
        {"comment": "x" * 2001}, {"unknown": 1}, {"view": {"dwell_seconds": {str(i): 1.0 for i in range(17)}}},
        {"blind_choice": "c"},
    ]  # fmt: skip
    for change in changes:
        assert anna.post("/api/votes", {**vote, **change}).status_code == 422, change
    assert anna.post("/api/votes", vote).status_code == 200


def test_numbers_too_big_for_the_database_are_not_a_crash(state):
    anna = signed_in(state, "anna")
    vote = {"vote_id": "vote-00001", "assignment_id": 2**70, "level": 1}
    assert anna.post("/api/votes", vote).status_code == 422
    assert anna.post("/api/heartbeat", {"assignment_ids": [2**70]}).status_code == 422


def test_oversized_bodies(state):
    anna = signed_in(state, "anna")
    headers = {"X-CSRF-Token": anna.csrf, "Content-Type": "application/json"}
    big = b'{"text": "' + b"x" * 70_000 + b'"}'
    assert anna.http.post("/api/comments", content=big, headers=headers).status_code == 413
    chunks = (b"x" * 10_000 for _ in range(10))  # without Content-Length
    assert anna.http.post("/api/comments", content=chunks, headers=headers).status_code == 413
    assert Client(state).http.post("/signin", content=big).status_code == 413
    settings = {"keys": {str(number): "x" * 90 for number in range(100)}}
    assert anna.http.put("/api/settings", json=settings, headers=headers).status_code == 413
    nested = b"[" * 30_000 + b"]" * 30_000
    assert Client(state).http.post("/signin", content=nested).status_code == 400


def test_wrong_name_and_wrong_password_look_alike(state):
    client = Client(state)
    assert client.sign_in("anna", "wrong password").json() == client.sign_in("nobody", "wrong password").json()


def test_a_trusted_proxy_names_the_user_and_nobody_else_does(state, manifest):
    behind = make_state(manifest, state.store.url, header_auth="X-Forwarded-User", trusted_proxies=("10.0.0.0/8",))
    proxy, stranger = Client(behind, address="10.1.2.3"), Client(behind, address="203.0.113.9")
    headers = {"X-Forwarded-User": "cleo"}
    session = proxy.get("/api/session", headers=headers).json()
    assert (session["user"], session["role"]) == ("cleo", "annotator")
    assert stranger.get("/api/session", headers=headers).status_code == 401
    assert Client(state, address="10.1.2.3").get("/api/session", headers=headers).status_code == 401  # off by default
    assert proxy.get("/api/session", headers={"X-Forwarded-User": "<b>"}).status_code in (400, 401)
    assert proxy.http.post("/api/items", json={}, headers=headers).status_code == 403
    assert (
        proxy.http.post("/api/items", json={}, headers={**headers, "X-CSRF-Token": session["csrf"]}).status_code == 200
    )
    behind.close()


@pytest.mark.parametrize(
    ("sent", "name"),
    [("o'neil@example.org", "o'neil@example.org"), ("Łukasz Żółć", "Łukasz Żółć"), ("ANNA", "anna")],
)
def test_names_that_a_proxy_may_send(state, manifest, sent, name):
    behind = make_state(manifest, state.store.url, header_auth="X-User", trusted_proxies=("10.0.0.0/8",))
    proxy = Client(behind, address="10.1.2.3")
    assert proxy.get("/api/session", headers={"X-User": sent.encode()}).json()["user"] == name
    behind.close()


@pytest.mark.parametrize(("sent", "code"), [("\u0430nna", "name_alike"), ("x" * 80, "name"), ("a/b", "name")])
def test_names_of_a_proxy_that_are_refused_with_a_sentence(state, manifest, sent, code):
    behind = make_state(manifest, state.store.url, header_auth="X-User", trusted_proxies=("10.0.0.0/8",))
    answer = Client(behind, address="10.1.2.3").get("/api/session", headers={"X-User": sent.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    behind.close()


def test_signing_out_behind_a_proxy_frees_the_items_and_says_where_to_go(state, manifest):
    options = {"header_auth": "X-User", "trusted_proxies": ("10.0.0.0/8",), "sign_out_url": "/oauth2/sign_out"}
    behind = make_state(manifest, state.store.url, **options)
    proxy, headers = Client(behind, address="10.1.2.3"), {"X-User": "cleo"}
    headers["X-CSRF-Token"] = proxy.get("/api/session", headers=headers).json()["csrf"]
    assert proxy.http.post("/api/items", json={"count": 5}, headers=headers).json()["items"]
    answer = proxy.http.post("/signout", headers=headers).json()
    assert answer == {"proxied": True, "next": "/oauth2/sign_out"}
    with behind.store.read() as connection:
        assert connection.execute(text("SELECT DISTINCT state FROM assignments")).scalars().all() == ["released"]
    behind.close()


def test_the_loopback_is_no_proxy_unless_told(state):
    """Ten addresses that the client makes up are one: the throttle sees where it really comes from."""
    answers = [
        Client(state)
        .http.post(
            "/signin", json={"name": "anna", "password": "wrong"}, headers={"X-Forwarded-For": f"10.0.0.{number}"}
        )
        .status_code
        for number in range(7)
    ]
    assert answers == [401] * 5 + [429] * 2


def test_roles_of_open_mode_are_lent(state, manifest, tmp_path):
    url = f"sqlite:///{tmp_path / 'open.sqlite'}"
    opened = make_state(manifest, url, open_mode=True)
    assert Client(opened).sign_in("dora", "").json()["role"] == "admin"
    opened.close()
    behind = make_state(manifest, url, header_auth="X-User", trusted_proxies=("10.0.0.0/8",))
    session = Client(behind, address="10.1.2.3").get("/api/session", headers={"X-User": "dora"}).json()
    assert session["role"] == "annotator"
    behind.close()


def test_two_servers_on_one_host_do_not_sign_each_other_out(state, manifest, tmp_path):
    other = make_state(manifest, f"sqlite:///{tmp_path / 'other.sqlite'}")
    add_user(other.store, "anna", password=PASSWORD)
    first, second = signed_in(state, "anna"), signed_in(other, "anna")
    jar = {**first.http.cookies, **second.http.cookies}  # a browser has one for both
    assert len(jar) == 2
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    for server in (state, other):
        assert Client(server).get("/api/session", headers={"Cookie": cookie}).status_code == 200
    ports = {next(iter(Client(state).http.post(
        "/signin", json={"name": "anna", "password": PASSWORD}, headers={"Host": f"localhost:{port}"}
    ).cookies)) for port in (7860, 7861)}  # fmt: skip
    assert len(ports) == 2
    other.close()


def test_open_mode_asks_a_name_and_answers_to_localhost_only(state, manifest, tmp_path):
    opened = make_state(manifest, f"sqlite:///{tmp_path / 'open.sqlite'}", open_mode=True)
    add_user(opened.store, "anna", password=PASSWORD)
    visitor = Client(opened)
    assert visitor.sign_in("dora", "").json()["role"] == "admin"
    assert visitor.get("/api/session").json()["user"] == "dora"
    assert Client(opened).sign_in("anna", "").status_code == 401  # who has a password needs it
    # A foreign page whose name was pointed at this machine (DNS rebinding) sends its own name.
    assert visitor.get("/api/session", headers={"Host": "evil.example"}).status_code == 400
    opened.close()


@pytest.mark.parametrize(
    ("options", "accounts", "message"),
    [
        ({"host": "0.0.0.0"}, False, "listening on 0.0.0.0 needs accounts"),
        ({"host": "0.0.0.0", "open_mode": True}, True, "--open is for localhost only"),
        ({"host": "::", "open_mode": True}, False, "--open is for localhost only"),
        ({"open_mode": True, "header_auth": "X-User", "trusted_proxies": ("::1",)}, True, "exclude each other"),
        ({"header_auth": "X-User"}, True, "needs --trusted-proxy"),
        ({"host": "0.0.0.0"}, True, None),
        ({"host": "127.0.0.1"}, False, None),
        ({"host": "localhost", "open_mode": True}, False, None),
    ],
)
def test_what_may_be_listened_on(manifest, sqlite_url, options, accounts, message):
    state = make_state(manifest, sqlite_url)
    if accounts:
        add_user(state.store, "anna", password=PASSWORD)
    state.close()
    settings = Settings(manifest, db_url=sqlite_url, **options)
    if message is None:
        assert check_access(settings).open_mode == (not accounts)
    else:
        with pytest.raises(UsageError, match=message):
            check_access(settings)


def test_errors_say_nothing_about_the_inside(state):
    anna = signed_in(state, "anna")
    with state.store.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO elsewhere"))
    answer = anna.post("/api/undo", {"undo_id": "undo-00001"})
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the database did not answer; try again", "code": "database"}

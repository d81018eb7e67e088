"""The bench in a real browser: ways of looking, keys, undo, skip, flag, comment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import BenchPage, Server, clip_frames, running, signed_in, write_data_set

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bench")
    manifest = write_data_set(folder, clip_frames(demo_clips / "bikes.mp4", 26), items=24)
    with running(Settings(manifest=manifest.path, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)) as server:
        yield server


def test_number_keys_rate_and_go_on_to_the_end(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Ada") as bench:
        seen = {bench.ready()}
        for index in range(24):
            seen.add(bench.rate(str(index % 4 + 1)))
        assert len(seen) == 25  # 24 items and the empty bench
        expect(bench.page.get_by_test_id("nothing-left")).to_be_visible()
        bench.expect_done(24)

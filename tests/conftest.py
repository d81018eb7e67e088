"""Fixtures that several packages share: real clips, a browser, calm threads. No test may skip in CI."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As many test processes run as there are cores. OpenMP's threads spin while they wait for one that has no core: a
# training beside another one then took five times the CPU time. Commands that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

pytest.register_assert_rewrite("tests.labeling_app.browser_fixtures")  # or a failure there shows no values
_FAILED = pytest.StashKey[bool]()
# Files that take longest. They begin first (`--no-loadscope-reorder` in the Makefile lets them), or at the end one of
# them runs alone while the other processes have nothing left.
_LONGEST = (
    "test_demo_set", "test_train", "test_end_to_end", "test_remote_frames", "test_browser_server", "test_roles",
    "test_start", "test_studio_browser", "test_export", "test_many_machines", "test_browser_forced_colours",
)  # fmt: skip


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a CI run in which anything was skipped: a missing tool must not look like a pass."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("skipped tests are failures in CI")
        session.exitstatus = 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; try a failed browser test once more: on a busy machine a browser can be late."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note that a browser test failed."""
    report = yield
    if report.failed and item.get_closest_marker("browser"):
        item.stash[_FAILED] = True
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End all that a failed browser test stood on, so that it is tried again on a new server and a new page.

    pytest itself would keep the fixtures of the module, with the votes and the zoom that the failed test left in them.
    """
    if item.stash.get(_FAILED, False):
        item.stash[_FAILED] = False
        item.session._setupstate.teardown_exact(None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print why a test that was tried again had failed: the second failure is often another one."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(autouse=True)
def _calm_torch() -> Iterator[None]:
    """Let PyTorch, where a test uses it, compute on one thread, and leave nothing of a training behind.

    xdist runs one process per core. Training flushes denormals to zero for the whole process; hypothesis refuses to
    draw floats then.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def demo_clips() -> Path:
    """The folder of the three demo clips: bigbuckbunny.mp4 (720p), bikes.mp4 (640x272), carphone_pristine.mp4."""
    from dataset_tools.assets import fetch_demo_clips

    return fetch_demo_clips()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One headless Chromium for the whole session; take a new context per test."""
    from tests.browser import open_browser

    with open_browser() as chromium:
        yield chromium

"""Models on a hub: pushed and fetched over HTTP for real, from a hub on this machine; and the one line without one."""

import hashlib

import huggingface_hub
import numpy as np
import pytest

from tests.vfidpa_model.inference.hub_server import serve_hub
from tests.vfidpa_model.light_checkpoint import light_model, real_frames, save_light_run
from vfidpa_model.inference.assessor import Assessor, load_assessor
from vfidpa_model.inference.card import to_card
from vfidpa_model.inference.checkpoint import CheckpointError
from vfidpa_model.inference.hub import is_hub_id
from vfidpa_model.networks.config import ModelConfig


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of this test alone, with an empty cache: what HF_ENDPOINT and HF_HUB_CACHE set when a program starts."""
    with serve_hub() as (address, files):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.chdir(tmp_path)
        yield files


def test_a_model_comes_back_from_the_hub_as_it_was_pushed(hub, tmp_path, demo_clips):
    save_light_run(tmp_path / "run", input_height=64)
    frames = real_frames(demo_clips / "bikes.mp4", (3, 6))
    pushed = load_assessor(tmp_path / "run")
    assert pushed.push_to_hub("someone/light").endswith("someone/light")
    stored = hub["someone/light"]
    assert set(stored) == {"checkpoint.json", "model.safetensors", "README.md"}
    assert hashlib.sha256(stored["model.safetensors"]).hexdigest() == pushed.weights_sha256
    assert stored["README.md"].decode() == to_card(pushed.config, pushed.meta)

    for fetched in (load_assessor("someone/light"), Assessor.from_pretrained("someone/light")):
        np.testing.assert_array_equal(fetched.predict(*frames), pushed.predict(*frames))
    with pytest.raises(CheckpointError, match=r"no folder someone/other, and no such model could be had"):
        load_assessor("someone/other")


def test_a_model_that_never_was_in_a_folder_can_be_pushed(hub, demo_clips):
    assessor = Assessor(light_model(input_height=64), meta={"val": {"srcc": 0.5, "mae": 0.25}})
    assessor.push_to_hub("me/mine", private=True)
    fetched = Assessor.from_pretrained("me/mine")
    assert fetched.meta == assessor.meta
    assert "| SRCC | 0.500 |" in hub["me/mine"]["README.md"].decode()


def test_without_a_hub_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no folder someone/light, and no such model could be had") as caught:
        load_assessor("someone/light")
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="cannot push to someone/light on the Hugging Face Hub: "):
        Assessor(light_model()).push_to_hub("someone/light")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/name", True),
        ("owner/name.v2_x-3", True),
        ("light", False),
        ("runs/light", False),  # there is a folder runs
        ("a/b/c", False),
        ("/tmp/x", False),
        ("../x", False),
        ("~/x", False),
    ],
)
def test_what_may_be_an_id_of_the_hub(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_hub_id(name) is expected


def test_a_card_says_what_the_levels_are_and_where_figures_lack():
    meta = {"train": {"labels": "proxy", "target": "level"}, "num_samples": {"train": 40, "val": 0}, "val": {}}
    card = to_card(ModelConfig(tier="720p", input_height=256), meta)
    assert "**proxy** levels" in card
    assert "brought down to 256 rows" in card
    assert "There was no validation split." in card
    assert "Where an accurate" in to_card(ModelConfig(), {"train": {"labels": "human", "target": "gain"}})

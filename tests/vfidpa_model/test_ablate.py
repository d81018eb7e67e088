"""The ablation: rows that differ in one part each, equal budgets, resumable, costs measured together."""

import itertools
import json
from dataclasses import asdict, replace

import pytest
import torch

from tests.vfidpa_model.labelled_set import few_of, labelled_manifest
from vfidpa_model.ablate import main
from vfidpa_model.evaluation.cost import measure_costs
from vfidpa_model.networks.config import WIDTH_NAMES, ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.training.config import TrainConfig
from vfidpa_model.training.config_file import preset_config
from vfidpa_model.training.parts import ROWS, model_of


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, demo_clips):
    return few_of(labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips)).path


def command(manifest, out, *more):
    budget = ["--epochs", "1", "--batch", "24", "--crop", "64", "--seeds", "2", "--device", "cpu"]
    return [str(manifest), "--out", str(out), "--rows", "light", *budget, *more]


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("baseline", "pixelshuffle", {"upsample"}),
        ("pixelshuffle", "temporal", {"temporal_difference"}),
        ("temporal", "full", {"aux_weight"}),
        ("full", "light", {"backbone", *WIDTH_NAMES}),
        ("full", "frame-labels", {"crop_labels"}),
        ("full", "no-channel-swap", {"augment_channels"}),
    ],
)
def test_each_row_has_one_part_more(before, after, part):
    first, second = ({**asdict(ROWS[key].model), **asdict(ROWS[key].config(TrainConfig()))} for key in (before, after))
    assert {name for name in first if first[name] != second[name]} == part
    assert ROWS["full"].model == ModelConfig()


def test_a_presets_row_has_its_recipe_and_the_others_budget():
    budget = TrainConfig(epochs=3, labels="proxy", resolution="720p", seed=5, crop=64, patience=0, batch=2, lr=1.0)
    for key, preset in (("paper", "paper"), ("ahiq-own", "ahiq")):
        found, own = asdict(ROWS[key].config(budget)), asdict(preset_config(preset).train)
        differing = {name for name in found if found[name] != own[name]}
        assert differing <= {"epochs", "labels", "resolution", "seed", "crop", "patience"}
        assert (found["epochs"], found["seed"], found["lr"]) == (3, 5, 1e-4)
    assert ROWS["full"].config(budget) == budget
    assert ROWS["baseline"].config(budget) == replace(budget, aux_weight=0.0)


def test_another_backbone_takes_swins_place_with_its_own_widths_and_a_presets_stay():
    found = {key: model_of(key, tier="256p", backbone="efficientnet_lite0", ahiq_patch=16) for key in ROWS}
    assert found["full"] == replace(ROWS["light"].model, tier="256p") == found["light"]
    assert {model.backbone for key, model in found.items() if "ahiq" not in key} == {"efficientnet_lite0"}
    assert (found["ahiq"].backbone, found["ahiq"].ahiq_patch) == ("ahiq", 16)
    paper = ROWS["paper"].model
    for name in ("shallow_width", "fusion_width", "head_widths", "deform_form", "difference_of"):
        assert getattr(found["paper"], name) == getattr(paper, name)
    assert found["paper"].deep_width == found["light"].deep_width  # what PixelShuffle makes of the backbone's


def test_trains_evaluates_and_goes_on_where_it_stopped(manifest, tmp_path, capsys):
    assert main(command(manifest, tmp_path)) == 0
    page = capsys.readouterr().out
    assert page == (tmp_path / "ablation.md").read_text()
    assert "| light VFI-DPA (EfficientNet-Lite0) | asset efficientnet-lite0 | 0." in page
    assert "±" in page
    assert "| frame difference |  | " in page
    table = json.loads((tmp_path / "ablation.json").read_text())
    row = table["rows"][0]
    assert len(row["measures"]["mae"]) == 2
    assert list(tmp_path.glob("lpips/*.npy"))
    assert not list(tmp_path.glob("light/*/lpips"))  # measured once, for all rows and seeds
    assert row["cost"]["parameters"] == sum(p.numel() for p in VFIDPA(ROWS["light"].model).parameters())

    kept = tmp_path / "light/seed-0/evaluation-test/evaluation.json"
    redone = tmp_path / "light/seed-1/evaluation-test/evaluation.json"
    state = tmp_path / "light/seed-1/last/training_state.pt"
    unchanged = state.stat().st_mtime_ns
    redone.unlink()
    record = json.loads(kept.read_text())
    kept.write_text(json.dumps({**record, "srcc_gains": {}}))  # as if another row had been the first one
    assert main(command(manifest, tmp_path)) == 0
    assert state.stat().st_mtime_ns == unchanged
    assert json.loads(kept.read_text())["srcc_gains"] == record["srcc_gains"]
    again = json.loads((tmp_path / "ablation.json").read_text())
    assert again["rows"][0]["measures"] == row["measures"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["--rows", "light,heavy"],
            "row 'heavy' must be one of ahiq, baseline, pixelshuffle, temporal, full, light, p",
        ),
        (["--backbone", "resnet"], "--backbone ('resnet') must be one of swin_t, efficientnet_lite0"),
        (["--resolution", "720p"], "resolution (720p) must be a tier of"),
        (["--resolution", "480p"], "resolution ('480p') must be one of 256p"),
        (["--split", "exam"], "--split ('exam') must be one of train, val, test"),
        (["--rows", "ahiq", "--ahiq-patch", "7"], "ahiq_patch (7) must be one of 8, 16"),
    ],
)
def test_refused_before_anything_is_trained(manifest, tmp_path, capsys, more, words):
    assert main(command(manifest, tmp_path, *more)) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_costs_count_every_pixel_and_take_medians():
    ticks = itertools.accumulate([0.0, 0.010, 1.0, 0.030, 1.0, 0.020])
    model = VFIDPA(ROWS["light"].model)
    options = {"width": 64, "device": torch.device("cpu")}
    small = measure_costs({"a": model}, height=64, rounds=3, clock=lambda: next(ticks), **options)["a"]
    assert small.milliseconds == pytest.approx(20)
    large = measure_costs({"a": model}, height=128, rounds=1, **options)["a"]
    assert large.gmacs == pytest.approx(2 * small.gmacs, rel=0.01)

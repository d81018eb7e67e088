"""The benchmark command on miniatures of the official sets; RIFE's numbers against an independent computation."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio

from dataset_tools.errors import UsageError
from dataset_tools.frames import read_image, write_image
from dataset_tools.interpolators import create_interpolator
from dataset_tools.manifest import from_rows
from tests.vfidpa_model import miniatures
from vfidpa_model.benchmark import main
from vfidpa_model.benchmarking.protocols import PROTOCOLS, model_options
from vfidpa_model.benchmarking.sets import BenchmarkSetError, load_set, parse_weights, read_item
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.inference.checkpoint import save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.routing.quality_cost import mean_with_interval

LEVELS = list(miniatures.LEVELS)


@pytest.fixture(scope="module")
def snu_film(tmp_path_factory, demo_clips):
    return miniatures.make_snu_film(tmp_path_factory.mktemp("snu"), demo_clips)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint of an untrained light model: its routes are arbitrary, its file is real."""
    folder = tmp_path_factory.mktemp("run") / "light-256p" / "best"
    torch.manual_seed(1)
    save_checkpoint(folder, VFIDPA(ModelConfig(backbone="efficientnet_lite0")), meta={})
    return folder.parent


@pytest.fixture(scope="module")
def done(tmp_path_factory, snu_film, run):
    """The command, run once on the miniature, and what it wrote."""
    out = tmp_path_factory.mktemp("out")
    assessor = load_checkpoint(run)
    pairs = [read_item(item) for item in load_set("snu-film", snu_film)]
    median = float(np.median([assessor.predict(img0, img1)[0] for img0, _, img1 in pairs]))
    options = [
        "snu-film",
        "--root",
        str(snu_film),
        "--out",
        str(out),
        "--run",
        str(run),
        "--device",
        "cpu",
    ]
    options += ["--threshold", str(median), "--threshold", "9"]
    assert main(options) == 0
    return out, json.loads((out / "results.json").read_text()), options, median


def ssim_matlab(a, b):
    """The volume SSIM, written out with SciPy: a Gaussian along height, width AND channels, borders repeated."""
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def blur(x):
        for axis in range(3):
            x = correlate1d(x, taps, axis=axis, mode="nearest")
        return x

    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (numerator / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean()


def test_rife_numbers_equal_an_independent_computation(done, snu_film):
    _, results, *_ = done
    rife = create_interpolator("rife")
    for level in LEVELS:
        psnr, similarity = [], []
        for line in (snu_film / "eval_modes" / f"test-{level}.txt").read_text().splitlines():
            img0, gt, img1 = (np.asarray(Image.open(snu_film / path)) for path in line.split())
            H, W = gt.shape[:2]
            tensors = [torch.from_numpy(x / np.float32(255)).permute(2, 0, 1)[None] for x in (img0, img1)]
            padded = [F.pad(x, (0, -W % 64, 0, -H % 64)) for x in tensors]
            with torch.inference_mode():
                frame = rife(*padded)[0, :, :H, :W].clamp(0, 1).permute(1, 2, 0).numpy()
            rounded = np.rint(frame * 255).astype(np.uint8)
            psnr.append(peak_signal_noise_ratio(gt, rounded))
            similarity.append(ssim_matlab(gt, rounded))
        found = next(r for r in results["results"] if r["model"] == "rife" and r["subset"] == level)
        assert len(psnr) == found["triplets"] == 2
        assert found["psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)
        assert found["ssim"] == pytest.approx(np.mean(similarity), abs=1e-5)


def test_two_accurate_models_stand_in_one_table(demo_clips, run, tmp_path, capsys):
    """As in the paper's first table: each line says which of them the hard pairs go to."""
    root = miniatures.make_vimeo90k(tmp_path / "set", demo_clips)
    accurate = ["--accurate", "rife-refined", "--accurate", "rife-v4"]
    options = ["vimeo90k", "--root", str(root), "--out", str(tmp_path), "--limit", "1", "--no-lpips"]
    assert main([*options, *accurate, "--run", str(run), "--threshold", "-9", "--device", "cpu"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["accurate"] == ["rife-refined", "rife-v4"]
    psnr = {record["model"]: record["psnr"] for record in results["results"]}
    for name in results["accurate"]:  # a threshold below every score sends all pairs to the accurate model
        assert psnr[f"dynamic, light-256p, threshold -9 to {name}"] == psnr[name] != psnr["rife"]
        assert f"Routed to {name}:" in (tmp_path / "table.md").read_text()
    assert {f"light-256p to {name}" for name in results["accurate"]} < set(results["curves"])
    assert main([*options, "--accurate", "rife"]) == 2
    assert "--accurate 'rife' must be another interpolator than --fast" in capsys.readouterr().err


def test_table_has_the_source_shape_and_every_router(done):
    out, results, _, median = done
    lines = (out / "table.md").read_text().splitlines()
    assert "protocol rife" in lines[0]
    header = next(line for line in lines if line.startswith("|"))
    assert [cell.strip() for cell in header.strip("|").split("|")][1:5] == LEVELS
    names = [record["model"] for record in results["results"][:: len(LEVELS)]]
    assert names == [
        "rife",
        "rife-full",
        f"dynamic, light-256p, threshold {median:g}",
        "dynamic, light-256p, threshold 9",
        "dynamic, random",
        "dynamic, flow magnitude",
        "dynamic, oracle (true gain)",
    ]
    has_share = {record["model"]: record["accurate_share"] is not None for record in results["results"]}
    assert [has_share[name] for name in names] == [False] * 2 + [True] * 5
    assert set(results["curves"]) == {"light-256p", "flow magnitude", "oracle (true gain)", "random"}
    assert (out / "quality_time.png").read_bytes().startswith(b"\x89PNG")
    assert all(r["psnr_low"] <= r["psnr"] + 1e-9 and r["psnr"] <= r["psnr_high"] + 1e-9 for r in results["results"])


def test_dynamic_lines_follow_from_the_measured_pairs(done):
    out, results, _, median = done
    rows = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()[1:]]
    hard = [row["routers"]["light-256p"]["score"] > median for row in rows]
    assert sum(hard) == len(rows) // 2
    for row in rows:  # times count as the median of the frame size
        alike = [other for other in rows if other["size"] == row["size"]]
        for kind in ("models", "routers"):
            for name, entry in row[kind].items():
                entry["typical"] = np.median([other[kind][name]["seconds"] for other in alike])
    for metric in ("psnr", "ssim", "lpips", "seconds"):
        expected = [
            row["models"]["rife-full" if is_hard else "rife"]["typical" if metric == "seconds" else metric]
            + (row["routers"]["light-256p"]["typical"] if metric == "seconds" else 0)
            for row, is_hard in zip(rows, hard, strict=True)
            if row["subset"] == "hard"
        ]
        name = f"dynamic, light-256p, threshold {median:g}"
        found = next(r for r in results["results"] if r["model"] == name and r["subset"] == "hard")
        assert found[metric] == pytest.approx(np.mean(expected))


def test_every_router_is_compared_at_the_same_shares(done):
    out, *_ = done
    rows = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()[1:]]
    lines = (out / "table.md").read_text().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("| PSNR / error removed"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : start + 6]]
    table = {name: values for name, *values in cells}
    assert set(table) == {"light-256p", "flow magnitude", "oracle (true gain)", "random"}
    fast, accurate = (np.array([row["models"][name]["psnr"] for row in rows]) for name in ("rife", "rife-full"))
    by_score = np.argsort([-row["routers"]["light-256p"]["score"] for row in rows], kind="stable")
    for place, share in enumerate((0.1, 0.2, 0.3, 0.5)):
        hard = np.isin(np.arange(len(rows)), by_score[: round(share * len(rows))])
        psnr, removed = table["light-256p"][place].split(" / ")
        assert float(psnr) == pytest.approx(np.where(hard, accurate, fast).mean(), abs=6e-4)
        gains = 10 ** (-fast / 10) - 10 ** (-accurate / 10)
        assert float(removed) == pytest.approx(100 * gains[hard].sum() / gains.sum(), abs=0.51)
        assert float(table["random"][place].split(" / ")[1]) == pytest.approx(100 * share, abs=0.51)


def test_a_killed_run_goes_on_where_it_was_and_other_options_are_refused(done, capsys):
    out, results, options, _ = done
    journal = out / "pairs.jsonl"
    whole = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(whole[:-1]) + whole[-1][:20])  # the last line torn by the kill
    assert main(options) == 0
    again = json.loads((out / "results.json").read_text())
    for before, after in zip(results["results"], again["results"], strict=True):
        assert before["psnr"] == pytest.approx(after["psnr"], abs=1e-9)
    assert journal.read_text().splitlines(keepends=True)[:-1] == whole[:-1]
    capsys.readouterr()
    assert main([*options, "--protocol", "upr"]) == 2
    assert "belongs to a run with other options" in capsys.readouterr().err


@pytest.mark.parametrize("layout", miniatures.SNU_LAYOUTS)
@pytest.mark.parametrize("lists_in", ["eval_modes", ""])
def test_snu_film_is_found_in_all_layouts(tmp_path, demo_clips, layout, lists_in):
    items = load_set("snu-film", miniatures.make_snu_film(tmp_path, demo_clips, layout=layout, lists_in=lists_in))
    assert [(item.subset, item.sequence) for item in items] == [
        (level, sequence) for level in LEVELS for sequence in ("GOPR0384_11_00", "0000")
    ]
    assert items[0].name == "GOPRO_test/GOPR0384_11_00/000017.png"


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("vimeo90k", miniatures.make_vimeo90k, ["00001/0389", "00001/0402", "00078/0651"]),
        ("ucf101", miniatures.make_ucf101, ["1", "1001"]),
        ("middlebury", miniatures.make_middlebury, ["Beanbags", "RubberWhale"]),
    ],
)
def test_other_sets_run_in_their_layouts(tmp_path, demo_clips, name, make, expected, capsys):
    root = make(tmp_path / "set", demo_clips)
    assert [item.name for item in load_set(name, root)] == expected
    options = [name, "--root", str(root), "--out", str(tmp_path / "out"), "--accurate", "rife-refined", "--no-lpips"]
    assert main([*options, "--protocol", "upr", "--limit", "1", "--device", "cpu"]) == 0
    assert "rife-refined" in capsys.readouterr().out


@pytest.mark.parametrize("is_flat", [True, False], ids=["Crosswalk-001.png", "Crosswalk/001.png"])
def test_xiph_is_resized_or_cropped_to_the_same_size(tmp_path, demo_clips, is_flat):
    root = miniatures.make_xiph(tmp_path, demo_clips, is_flat=is_flat)
    resized, cropped = (load_set(name, root)[0] for name in ("xiph-2k", "xiph-4k"))
    assert resized.name == cropped.name == "Crosswalk-002"
    if is_flat:
        assert {frame.shape for frame in read_item(resized)} == {(1080, 2048, 3)}
        assert np.array_equal(read_item(cropped)[1], read_image(cropped.gt)[540:-540, 1024:-1024])
        write_image(root / "Crosswalk-003.png", np.zeros((1080, 2048, 3), np.uint8))
        with pytest.raises(BenchmarkSetError, match="Xiph frames must be 4096x2160, not 2048x1080"):
            read_item(cropped)


def test_a_manifest_is_a_set_too(tmp_path, demo_clips):
    miniatures.make_vimeo90k(tmp_path, demo_clips)
    images = {column: f"sequences/00001/0389/im{n}.png" for n, column in enumerate(("img0", "gt", "img1"), start=1)}
    row = {"triplet_id": "videos/a/0-1-2@256p", "source": "videos", "clip": "a", "resolution": "256p", **images}
    from_rows(tmp_path / "data_manifest.parquet", [row]).write()
    (item,) = load_set("manifest", tmp_path)
    assert (item.subset, item.sequence) == ("256p", "videos/a")
    assert read_item(item)[0].shape == (96, 132, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["moon-film", "--root", "{snu}"], 1, "benchmark set 'moon-film' must be one of snu-film"),
        (["vimeo90k", "--root", "{snu}"], 1, "tri_testlist.txt does not exist"),
        (["snu-film", "--root", "{snu}", "--protocol", "mine"], 2, "must be one of upr, rife, vfiformer"),
        (["snu-film", "--root", "{snu}", "--spatial"], 2, "--spatial is gone: the cascade refines parts of frames"),
        (["snu-film", "--root", "{snu}", "--accurate", "upr-net"], 2, "needs a weights file"),
        (["snu-film", "--root", "{snu}", "--run", "{snu}"], 1, "no checkpoint in"),
    ],
)
def test_wrong_use_is_one_clear_line(snu_film, tmp_path, capsys, arguments, code, message):
    filled = [argument.format(snu=snu_film) for argument in arguments]
    assert main([*filled, "--out", str(tmp_path), "--device", "cpu", "--no-lpips"]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1]


@pytest.mark.parametrize(
    ("name", "make", "gone", "expected"),
    [
        ("vimeo90k", miniatures.make_vimeo90k, "sequences/00001/0402/im2.png", 3),
        ("ucf101", miniatures.make_ucf101, "ucf101_interp_ours/1/frame_01_gt.png", 2),
        ("middlebury", miniatures.make_middlebury, "other-gt-interp/Beanbags/frame10i11.png", 2),
        ("xiph-4k", miniatures.make_xiph, None, 49),  # the miniature has the first of a clip's 49 triplets
    ],
)
def test_a_set_lists_what_it_should_hold(tmp_path, demo_clips, name, make, gone, expected):
    root = make(tmp_path, demo_clips)
    if gone:
        (root / gone).unlink()
    assert len({item.key for item in load_set(name, root)}) == expected


def test_bad_triplets_are_left_out_counted_and_tried_again(tmp_path, demo_clips, capsys):
    root = miniatures.make_snu_film(tmp_path / "set", demo_clips)
    folder = root / "data/SNU-FILM/test/GOPRO_test/GOPR0384_11_00"
    gone, torn = folder / "000016.png", folder / "000009.png"  # of easy, of extreme
    whole = {path: path.read_bytes() for path in (gone, torn)}
    gone.unlink()
    torn.write_bytes(whole[torn][:2000])
    networks = [f"tests.vfidpa_model.simple_interpolators:{name}" for name in ("Mean", "Red")]
    options = ["snu-film", "--root", str(root), "--out", str(tmp_path / "out"), "--device", "cpu", "--no-lpips"]
    options += ["--fast", networks[0], "--accurate", networks[1]]
    assert main(options) == 1
    printed = capsys.readouterr()
    assert "6 triplets (2 left out: 1 of easy, 1 of extreme); fast" in printed.out.splitlines()[0]
    assert "2 of 8 triplets were left out, the first is easy/GOPRO_test/" in printed.err.splitlines()[-1]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert {reason.split(": ")[-1] for reason in results["left_out"].values()} == {
        "no such file",
        "image file is truncated",
    }
    by_subset = {r["subset"]: r for r in results["results"]}
    assert {name: r["triplets"] for name, r in by_subset.items()} == {"easy": 1, "medium": 2, "hard": 2, "extreme": 1}
    has_interval = {name: r["psnr_low"] is not None for name, r in by_subset.items()}
    assert has_interval == {"easy": False, "medium": True, "hard": True, "extreme": False}  # by sequence: one has none
    for path, data in whole.items():
        path.write_bytes(data)
    assert main(options) == 0
    assert "8 triplets; fast" in capsys.readouterr().out.splitlines()[0]


def test_a_set_without_one_whole_triplet_is_refused(tmp_path, demo_clips, capsys):
    root = miniatures.make_vimeo90k(tmp_path, demo_clips)
    for path in root.glob("sequences/*/*/im3.png"):
        path.unlink()
    assert main(["vimeo90k", "--root", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "vimeo90k: all 3 triplets lack files; the first is" in capsys.readouterr().err


def test_weights_are_given_by_name():
    assert str(parse_weights(["upr-net=a=b.pkl"], models=["upr-net"])["upr-net"]) == "a=b.pkl"
    for wrong, words in (("upr.pkl", "must be NAME=FILE"), ("uprnet=a.pkl", "must be for one of the models here")):
        with pytest.raises(UsageError, match=words):
            parse_weights([wrong], models=["rife", "upr-net"])


@pytest.mark.parametrize(
    ("protocol", "set_name", "size", "padded"),
    [
        ("upr", "snu-film", (720, 1280), (768, 1280)),
        ("upr", "xiph-4k", (1080, 2048), (1280, 2048)),
        ("upr", "vimeo90k", (256, 448), (256, 448)),
        ("rife", "middlebury", (388, 584), (480, 640)),
        ("vfiformer", "middlebury", (388, 584), (448, 640)),
        ("vfiformer", "snu-film", (720, 1280), (768, 1280)),
    ],
)
def test_protocols_pad_as_the_official_codes_do(protocol, set_name, size, padded):
    image = torch.full((1, 3, *size), 0.25)
    padding = PROTOCOLS[protocol].padding(set_name, *size)
    larger = padding.pad(image, value=PROTOCOLS[protocol].value)
    assert larger.shape[-2:] == padded
    assert torch.equal(padding.crop(larger), image)
    is_centred = protocol == "vfiformer" and set_name == "middlebury"
    assert (float(larger[0, 0, 0, 0]) == 0.25) is not is_centred


def test_models_get_the_options_of_their_authors():
    assert model_options("upr-net-large", "xiph-2k") == {"levels": 7, "skipped": 2}
    assert model_options("vfiformer", "snu-film") == {"half_flow": True}
    assert model_options("rife", "snu-film") == {}


def test_intervals_are_made_by_sequence():
    values, generator = np.repeat([30.0, 40.0], 50), np.random.default_rng(0)
    mean, low, high = mean_with_interval(values, ["a"] * 50 + ["b"] * 50, generator=generator)
    assert (mean, low, high) == (35.0, 30.0, 40.0)  # two sequences: anything between both is possible
    _, low, high = mean_with_interval(values, [str(i) for i in range(100)], generator=generator)
    assert 33.5 < low < 35 < high < 36.5
    mean, *ends = mean_with_interval(values, ["a"] * 100, generator=generator)
    assert mean == 35.0
    assert np.isnan(ends).all()  # one sequence says nothing about others

"""One training from the first batch to the report: epochs, validation, checkpoints, and going on after a kill.

One linear loop for the CPU, one GPU, several GPUs and several machines: Accelerate finds out which (``torchrun`` or
``accelerate launch`` start it), and the batch is over all processes, so their number changes the result by
rounding only.
"""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_tools.errors import VfiError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training.config import Machine, TrainConfig

if TYPE_CHECKING:
    from vfidpa_model.inference.score_scale import ScoreScale
    from vfidpa_model.pairs.loading import Batch
    from vfidpa_model.training.run_log import RunLog
    from vfidpa_model.training.session import Session
    from vfidpa_model.training.state import Counters


_SAVE_EVERY_SECONDS = 600.0  # besides every epoch's end: a kill costs at most this much of a long epoch


_NUM_PICTURES = 4  # validation pairs drawn into TensorBoard each epoch


class DivergedError(VfiError):
    """The loss or the weights of a training are no longer finite numbers."""


def train(
    manifest_path: Path,
    out: Path,
    *,
    model_config: ModelConfig,
    config: TrainConfig,
    machine: Machine = Machine(),
    resume: bool = False,
    lpips_folder: Path | None = None,
    save_every_seconds: float = _SAVE_EVERY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train a model and return ``out``, the run's folder.

    It then holds ``best/`` and ``last/`` (checkpoints, the best with its model card), ``config.json``,
    ``metrics.jsonl``, ``report.html`` and, where that is the logger, ``tensorboard/``. Killed at any moment and called
    again with ``resume``, it goes on; on a CPU the result is the same to the bit.

    Args:
        lpips_folder: Where LPIPS by place is kept, for trainings that share it; else the cache, or the run.

    Raises:
        UsageError, ManifestError: See ``labels.training_samples``; an option that cannot be; ``out`` holds another run.
        FrameError: A frame cannot be read.
        DivergedError: The loss is no longer a finite number.
    """
    from dataset_tools.common.files import write_bytes
    from vfidpa_model.inference.card import to_card
    from vfidpa_model.inference.checkpoint import read_checkpoint
    from vfidpa_model.inference.hub import CARD_NAME
    from vfidpa_model.training.report import REPORT_NAME, write_report
    from vfidpa_model.training.session import prepare

    session = prepare(
        manifest_path,
        out,
        model_config=model_config,
        config=config,
        machine=machine,
        resume=resume,
        lpips_folder=lpips_folder,
    )
    was_finished, is_main = session.counters.is_finished, session.accelerator.is_main_process
    if not was_finished:
        _take_steps(session, logger=machine.logger, save_every_seconds=save_every_seconds, clock=clock)
    if is_main and not (was_finished and (out / REPORT_NAME).exists()):
        write_report(out, session.val or session.train, device=session.accelerator.device)
        best = read_checkpoint(out)
        write_bytes(best.folder / CARD_NAME, to_card(best.config, best.meta).encode())
    session.accelerator.wait_for_everyone()
    return out


def _take_steps(session: "Session", *, logger: str, save_every_seconds: float, clock: Callable[[], float]) -> None:
    """Take the steps that are left, to the last epoch or until validation has been no better for long."""
    from dataset_tools.common.progress import track
    from vfidpa_model.training.run_log import RunLog

    counters, plan, is_main = session.counters, session.plan, session.accelerator.is_main_process
    saved_at = clock()
    with (
        RunLog(session.out, first_step=counters.step, enabled=is_main, logger=logger, settings=session.settings) as log,
        track("training", plan.num_steps - counters.step) as progress,
    ):
        for batch in batches(session):
            losses = take_step(session, batch)
            counters.step += 1
            log.record("train", counters.step, losses)
            progress.advance(note=f"loss {losses['loss']:.3f}")
            if counters.step % plan.steps_per_epoch == 0:
                _finish_epoch(session, log)
                saved_at = clock()
                if counters.is_finished:
                    break
            elif clock() - saved_at >= save_every_seconds:
                _save_last(session)
                saved_at = clock()


def batches(session: "Session") -> "Iterator[Batch]":
    """Yield this process's share of every batch that is left, on its device."""
    from vfidpa_model.pairs.augment import Switches
    from vfidpa_model.pairs.loading import TrainingPairs, batches_from, read_batches, to_device

    config, accelerator = session.config, session.accelerator
    keys = batches_from(
        session.counters.step,
        num_steps=session.plan.num_steps,
        num_samples=len(session.train),
        batch=session.plan.batch,
        seed=config.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        shapes=session.shapes,
    )
    switches = Switches(
        flip=config.augment_flip,
        turn=config.augment_turn,
        backwards=config.augment_backwards,
        channels=config.augment_channels,
    )
    pairs = TrainingPairs(
        session.train,
        reader=session.reader,
        crop=config.crop,
        seed=config.seed,
        switches=switches,
        places=session.places,
    )
    for batch in read_batches(pairs, keys, workers=session.workers):
        yield to_device(batch, accelerator.device)


def take_step(session: "Session", batch: "Batch") -> dict[str, float]:
    """Take one optimizer step and return what is logged; losses are means over the batch of all processes."""
    import torch

    from vfidpa_model.training.losses import compute_losses
    from vfidpa_model.training.schedule import learning_rate
    from vfidpa_model.training.state import seed_step

    accelerator, config, plan, step = session.accelerator, session.config, session.plan, session.counters.step
    rate = learning_rate(
        step, base=config.lr, num_steps=plan.num_steps, warmup_steps=plan.warmup_steps, period=config.lr_period
    )
    for group in session.optimizer.param_groups:
        group["lr"] = rate * group["lr_share"]
    seed_step(config.seed, step, accelerator.process_index)
    session.model.train()
    session.optimizer.zero_grad()
    total = torch.zeros(4, device=accelerator.device)
    for number in range(config.accumulate):
        is_last = number == config.accumulate - 1
        part = {name: values.chunk(config.accumulate)[number] for name, values in batch.items()}
        with contextlib.nullcontext() if is_last else accelerator.no_sync(session.model):
            with accelerator.autocast():
                assessment = session.model(part["img0"], part["img1"])
            losses = compute_losses(
                assessment,
                level=part["level"],
                distribution=part["distribution"],
                lpips_level=session.lpips_scale.levels(part["inputs_lpips"]),
                aux_weight=config.aux_weight,
                norm=config.loss_norm,
                location_levels=part.get("location_levels"),
            )
            accelerator.backward(losses.total / config.accumulate)
        total += torch.stack(losses).detach().float() / config.accumulate
    norm = float("nan")
    if config.clip_grad_norm > 0:
        norm = float(accelerator.clip_grad_norm_(session.model.parameters(), config.clip_grad_norm))
    session.optimizer.step()
    if session.ema is not None:
        session.ema.update_parameters(session.bare_model)
    loss, difficulty, auxiliary, dense = accelerator.reduce(total, "mean").tolist()
    if not math.isfinite(loss) and accelerator.scaler is None:  # a scaler skips such a step and goes on
        raise _diverged(session)
    found = {"loss": loss, "difficulty": difficulty, "auxiliary": auxiliary, "grad_norm": norm, "lr": rate}
    return {**found, "dense": dense} if "location_levels" in batch else found


def _finish_epoch(session: "Session", log: "RunLog") -> None:
    """Validate, keep the best, save the last, and decide whether training is over."""
    from vfidpa_model.networks.vfidpa import is_finite

    if not is_finite(session.bare_model):
        raise _diverged(session)
    counters, config = session.counters, session.config
    epoch = counters.step // session.plan.steps_per_epoch
    found, scale = _validate(session)
    is_best = not session.val or _is_better(found, counters)
    if is_best:
        counters.best_mae, counters.best_epoch = found.get("mae", counters.best_mae), epoch
        counters.best_srcc = found.get("srcc", counters.best_srcc)
    is_stale = bool(session.val) and 0 < config.patience <= epoch - counters.best_epoch
    counters.is_finished = is_stale or counters.step >= session.plan.num_steps
    if session.val:
        log.record("val", counters.step, {"epoch": epoch, **found})
    if session.accelerator.is_main_process:
        _draw_pictures(session, log)
        if is_best:
            _save_checkpoint(session, "best", found, scale)
        _save_last(session, found, scale)
        if session.val:
            mark = ", best" if is_best else ""
            print(f"epoch {epoch}: val MAE {found['mae']:.3f}, SRCC {found['srcc']:.3f}{mark}", file=sys.stderr)


def _is_better(found: dict[str, float], counters: "Counters") -> bool:
    """Return whether an epoch is better than the best: by order first, for a map can mend levels but never an order.

    Where ranks say nothing (all validation levels or scores are equal), the MAE decides.
    """
    srcc = found["srcc"]
    if math.isnan(srcc) or srcc == counters.best_srcc:
        return math.isinf(counters.best_srcc) and found["mae"] < counters.best_mae
    return srcc > counters.best_srcc


def _diverged(session: "Session") -> DivergedError:
    steps, rate = session.counters.step, session.config.lr
    return DivergedError(f"training diverged after {steps} steps; take a lower --lr ({rate:g}) and another --out")


def _validate(session: "Session") -> tuple[dict[str, float], "ScoreScale | None"]:
    """Return the measures of whole validation frames and the map from scores to levels fitted on them.

    Measures hold for the mapped scores, as a user gets them; every process scores its share, all get the result.
    """
    import numpy as np
    import torch

    from vfidpa_model.evaluation.measures import measure_all
    from vfidpa_model.evaluation.scoring import levels_of, score_samples
    from vfidpa_model.inference.score_scale import fit_score_scale

    if not session.val:
        return {}, None
    accelerator = session.accelerator
    scores = score_samples(
        session.kept_model.eval(),
        session.val,
        reader=session.reader,
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    whole = scores
    if accelerator.num_processes > 1:  # alone there is nothing to add, and mps has no float64
        whole = accelerator.reduce(torch.from_numpy(scores).to(accelerator.device), "sum").cpu().numpy()
    if not np.isfinite(whole).all():  # of finite weights, too
        raise _diverged(session)
    levels = levels_of(session.val)
    scale = fit_score_scale(whole, levels)
    if scale is not None:
        whole = scale(torch.from_numpy(whole)).numpy()
    return measure_all(whole, levels), scale


def _save_checkpoint(session: "Session", name: str, found: dict[str, float], scale: "ScoreScale | None" = None) -> None:
    from vfidpa_model.evaluation.measures import json_ready
    from vfidpa_model.inference.checkpoint import save_checkpoint

    meta = {
        **session.settings,
        "counters": json_ready(asdict(session.counters)),
        "val": json_ready(found),
    }
    if scale is not None:
        meta["score_scale"] = scale.to_dict()
    save_checkpoint(session.out / name, session.kept_model, meta=meta)


def _save_last(session: "Session", found: dict[str, float] | None = None, scale: "ScoreScale | None" = None) -> None:
    """Save what a resumed run goes on from; the checkpoint beside it is for use."""
    from vfidpa_model.training.state import save_state

    if not session.accelerator.is_main_process:
        return
    _save_checkpoint(session, "last", found or {}, scale)
    save_state(
        session.out / "last",
        session.counters,
        model=session.bare_model,
        optimizer=session.optimizer,
        scaler=session.accelerator.scaler,
        ema=session.ema,
    )


def _draw_pictures(session: "Session", log: "RunLog") -> None:
    from vfidpa_model.evaluation.score_maps import pair_with_map

    shown = (session.val or session.train)[:_NUM_PICTURES]
    for sample in shown:
        img0, img1 = session.reader.pair(sample)
        picture, _ = pair_with_map(session.kept_model.eval(), img0, img1, device=session.accelerator.device)
        log.picture(f"{sample.triplet_id} level {sample.level:g}", session.counters.step, picture)

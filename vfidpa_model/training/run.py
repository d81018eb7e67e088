"""One training from the first batch to the report: epochs, validation, checkpoints, and going on after a kill.

One linear loop for the CPU, one GPU, several GPUs and several machines: Accelerate finds out which (``torchrun`` or
``accelerate launch`` start it), and the batch is over all processes, so their number changes the result by
rounding only.
"""

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
    from vfidpa_model.pairs.loading import Batch
    from vfidpa_model.training.run_log import RunLog
    from vfidpa_model.training.session import Session


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
    save_every_seconds: float = _SAVE_EVERY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train a model and return ``out``, the run's folder.

    It then holds ``best/`` and ``last/`` (checkpoints), ``config.json``, ``metrics.jsonl``, ``tensorboard/`` and
    ``report.html``. Killed at any moment and called again with ``resume``, it goes on; on a CPU the result is the
    same to the bit.

    Raises:
        UsageError, ManifestError: See ``labels.training_samples``; an option that cannot be; ``out`` holds another run.
        FrameError: A frame cannot be read.
        DivergedError: The loss is no longer a finite number.
    """
    from dataset_tools.common.progress import track
    from vfidpa_model.training.report import REPORT_NAME, write_report
    from vfidpa_model.training.run_log import RunLog
    from vfidpa_model.training.session import prepare

    session = prepare(manifest_path, out, model_config=model_config, config=config, machine=machine, resume=resume)
    counters, plan, is_main = session.counters, session.plan, session.accelerator.is_main_process
    was_finished = counters.is_finished
    if not was_finished:
        saved_at = clock()
        with (
            RunLog(out, first_step=counters.step, enabled=is_main) as log,
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
    if is_main and not (was_finished and (out / REPORT_NAME).exists()):
        write_report(out, session.val or session.train, device=session.accelerator.device)
    session.accelerator.wait_for_everyone()
    return out


def batches(session: "Session") -> "Iterator[Batch]":
    """Yield this process's share of every batch that is left, on its device."""
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
    )
    pairs = TrainingPairs(session.train, reader=session.reader, crop=config.crop, seed=config.seed)
    for batch in read_batches(pairs, keys, workers=session.workers):
        yield to_device(batch, accelerator.device)


def take_step(session: "Session", batch: "Batch") -> dict[str, float]:
    """Take one optimizer step and return what is logged; losses are means over the batch of all processes."""
    import torch

    from vfidpa_model.training.losses import compute_losses
    from vfidpa_model.training.schedule import learning_rate
    from vfidpa_model.training.state import seed_step

    accelerator, config, plan, step = session.accelerator, session.config, session.plan, session.counters.step
    rate = learning_rate(step, base=config.lr, num_steps=plan.num_steps, warmup_steps=plan.warmup_steps)
    for group in session.optimizer.param_groups:
        group["lr"] = rate * group["lr_share"]
    seed_step(config.seed, step, accelerator.process_index)
    session.model.train()
    with accelerator.autocast():
        assessment = session.model(batch["img0"], batch["img1"])
    losses = compute_losses(
        assessment,
        level=batch["level"],
        distribution=batch["distribution"],
        lpips_level=session.lpips_scale.levels(batch["inputs_lpips"]),
        aux_weight=config.aux_weight,
        norm=config.loss_norm,
    )
    session.optimizer.zero_grad()
    accelerator.backward(losses.total)
    norm = float("nan")
    if config.clip_grad_norm > 0:
        norm = float(accelerator.clip_grad_norm_(session.model.parameters(), config.clip_grad_norm))
    session.optimizer.step()
    loss, difficulty, auxiliary = accelerator.reduce(torch.stack(losses).detach().float(), "mean").tolist()
    if not math.isfinite(loss) and accelerator.scaler is None:  # a scaler skips such a step and goes on
        raise _diverged(session)
    return {"loss": loss, "difficulty": difficulty, "auxiliary": auxiliary, "grad_norm": norm, "lr": rate}


def _finish_epoch(session: "Session", log: "RunLog") -> None:
    """Validate, keep the best, save the last, and decide whether training is over."""
    from vfidpa_model.networks.vfidpa import is_finite

    if not is_finite(session.bare_model):
        raise _diverged(session)
    counters, config = session.counters, session.config
    epoch = counters.step // session.plan.steps_per_epoch
    found = _validate(session)
    is_best = not session.val or found["mae"] < counters.best_mae
    if is_best:
        counters.best_mae, counters.best_epoch = found.get("mae", counters.best_mae), epoch
    is_stale = bool(session.val) and 0 < config.patience <= epoch - counters.best_epoch
    counters.is_finished = is_stale or counters.step >= session.plan.num_steps
    if session.val:
        log.record("val", counters.step, {"epoch": epoch, **found})
    if session.accelerator.is_main_process:
        _draw_pictures(session, log)
        if is_best:
            _save_checkpoint(session, "best", found)
        _save_last(session, found)
        if session.val:
            mark = ", best" if is_best else ""
            print(f"epoch {epoch}: val MAE {found['mae']:.3f}, SRCC {found['srcc']:.3f}{mark}", file=sys.stderr)


def _diverged(session: "Session") -> DivergedError:
    steps, rate = session.counters.step, session.config.lr
    return DivergedError(f"training diverged after {steps} steps; take a lower --lr ({rate:g}) and another --out")


def _validate(session: "Session") -> dict[str, float]:
    """Return the measures of whole validation frames; every process scores its share, all get the result."""
    import torch

    from vfidpa_model.evaluation.measures import measure_all
    from vfidpa_model.evaluation.scoring import levels_of, score_samples

    if not session.val:
        return {}
    accelerator = session.accelerator
    model = session.bare_model.eval()
    scores = score_samples(
        model,
        session.val,
        reader=session.reader,
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    whole = accelerator.reduce(torch.from_numpy(scores).to(accelerator.device), "sum").cpu().numpy()
    return measure_all(whole, levels_of(session.val))


def _save_checkpoint(session: "Session", name: str, found: dict[str, float]) -> None:
    from vfidpa_model.evaluation.measures import json_ready
    from vfidpa_model.inference.checkpoint import save_checkpoint

    meta = {
        **session.settings,
        "counters": json_ready(asdict(session.counters)),
        "val": json_ready(found),
    }
    save_checkpoint(session.out / name, session.bare_model, meta=meta)


def _save_last(session: "Session", found: dict[str, float] | None = None) -> None:
    """Save what a resumed run goes on from; the checkpoint beside it is for use."""
    from vfidpa_model.training.state import save_state

    if not session.accelerator.is_main_process:
        return
    _save_checkpoint(session, "last", found or {})
    save_state(
        session.out / "last",
        session.counters,
        model=session.bare_model,
        optimizer=session.optimizer,
        scaler=session.accelerator.scaler,
    )


def _draw_pictures(session: "Session", log: "RunLog") -> None:
    from vfidpa_model.evaluation.score_maps import pair_with_map

    shown = (session.val or session.train)[:_NUM_PICTURES]
    for sample in shown:
        img0, img1 = session.reader.pair(sample)
        picture, _ = pair_with_map(session.bare_model.eval(), img0, img1, device=session.accelerator.device)
        log.picture(f"{sample.triplet_id} level {sample.level:g}", session.counters.step, picture)

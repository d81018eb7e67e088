"""The API of reviewers and admins: statistics, the queue of disagreements, gold items, accounts, export."""

from fastapi import APIRouter

from labeling_app.bench import Bench


def admin_router(bench: Bench) -> APIRouter:
    """Return the routes for reviewers and admins."""
    return APIRouter(prefix="/api")

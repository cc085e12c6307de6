"""How a proof ends: all is drained, the dead are swept, nothing waits."""

from __future__ import annotations

from routing.proofs.books import Books, open_books
from routing.proofs.storm import calm
from routing.proofs.tree import Tree
from routing.proofs.verdict import Verdict
from routing.proofs.waiting import Late, until
from tenants import drain_status
from tenants.spool_owners import dead, owners

SECONDS = 120.0


def ended(tree: Tree, verdict: Verdict, patience: float = SECONDS, *, sweep: bool = True) -> Books:
    """What is in the database when the gateway has ended in peace, after whatever has befallen it. Without ``sweep``, what
    still counts in limits of so many a minute may be left."""
    root = tree.at.spool
    calm(tree)
    try:
        until(lambda: not _dead(tree), "the spools of the dead are swept", patience)
        until(lambda: not drain_status.read(root).rows, "all rows are stored", patience)
    except Late as late:
        verdict.expect(False, f"{late}: {_dead(tree)}")
    _terminate(tree, verdict)
    if not sweep:
        return open_books(tree.at)
    if left := owners(root):  # of workers whose last requests still count in a limit of so many a minute
        _sweep(tree, left, verdict, patience)
    verdict.none(owners(root), "spools are left behind")
    return open_books(tree.at)


def _terminate(tree: Tree, verdict: Verdict) -> None:
    code = tree.terminate()
    verdict.expect(code == 0, f"the gateway ended with {code}: {tree.log[-500:]}")


def _sweep(tree: Tree, left: list[str], verdict: Verdict, patience: float) -> None:
    """By the next start."""
    tree.start()
    tree.wait_ready()
    try:
        until(
            lambda: not set(left) & set(owners(tree.at.spool)), "the leases of those that have ended are free", patience
        )
    except Late as late:
        verdict.expect(False, str(late))
    _terminate(tree, verdict)


def _dead(tree: Tree) -> list[str]:
    root = tree.at.spool
    return [owner for owner in owners(root) if dead(root, owner)]

"""The ledger under whatever can happen: what the upstream has served has its rows, once each; what nobody knows is marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from routing.proofs import misfortunes
from routing.proofs import served as logs
from routing.proofs.books import Books, Row
from routing.proofs.clients import Answer, statuses
from routing.proofs.ending import ended
from routing.proofs.installation import installation, upstream
from routing.proofs.misfortunes import MISFORTUNES
from routing.proofs.plan import Node, Plan
from routing.proofs.scene import Scene
from routing.proofs.server import database_server
from routing.proofs.tree import serving
from routing.proofs.verdict import Verdict

PLAN = Plan((Node("soft"), Node("soft/-/free"), Node("hard", budget=10**15), Node("hard/-/key")), cap=1_024)


class Scale(NamedTuple):
    kills: int = 200
    workers: int = 4
    threads: int = 16
    seed: int = 1
    away_seconds: float = 60.0


def prove(
    scale: Scale, cases: Sequence[str], verdict: Verdict, database: str = "", *, own: bool = False, keep: bool = False
) -> None:
    """``own`` asks for a PostgreSQL server of its own, which can be stopped."""
    with database_server(database, own=own) as server, installation(server.url, keep=keep) as at:
        with misfortunes.disk(at.spool) as disk, upstream(at, seed=scale.seed, cut=0.02) as url:
            made = at.make(PLAN, url)
            lost: set[str] = set()
            with serving(at, scale.workers) as tree:
                scene = Scene(PLAN, made, tree, verdict, scale.threads, scale.seed)
                for name in cases:
                    if tree.ended:
                        tree.start()
                        tree.wait_ready()
                    told = MISFORTUNES[name](scene, scale, disk, server)
                    lost |= told.lost
                    books = ended(tree, verdict)
                    verdict.say(f"{name}: {told.text}")
                    compare(logs.read(at.log), books, scene.answers, lost, verdict, name)
        verdict.agrees(at)


def compare(
    log: Sequence[logs.Served],
    books: Books,
    answers: Sequence[Answer],
    lost: Collection[str],
    verdict: Verdict,
    name: str,
) -> None:
    """``lost`` are requests whose records were torn: only their rows may be missing."""
    billed = Counter(each.id for each in log)
    rows: dict[str, list[Row]] = {}
    for row in books.usage:
        rows.setdefault(row.of, []).append(row)
    missing = [each for each, count in billed.items() if each not in lost and len(rows.get(each, ())) < count]
    verdict.none(missing, f"requests lack rows ({name})")
    verdict.none(
        [row for row in Counter(row.id for row in books.usage).items() if row[1] > 1], f"rows are double ({name})"
    )
    odd = [each for each, found in rows.items() if not _explained(found, billed[each])]
    verdict.none(odd, f"requests have more rows than the upstream has served ({name})")
    _compare_tokens(log, books, verdict, name)
    _compare_answers(books, answers, verdict, name)
    interrupted = sum(row.interrupted for row in books.usage)
    verdict.say(
        f"  {len(log):,} attempts served, {len(books.usage):,} rows, {interrupted:,} of them interrupted; "
        f"clients: {statuses(answers)}"
    )


def _explained(found: Sequence[Row], billed: int) -> bool:
    """A row more than was served is of a request that was never sent, or of one whose end nobody knows."""
    if len(found) <= billed:
        return True
    main = next((row for row in found if row.kind == "charge"), None)
    return len(found) == billed + 1 and main is not None and (main.interrupted or not main.output)


def _compare_tokens(log: Sequence[logs.Served], books: Books, verdict: Verdict, name: str) -> None:
    made: dict[str, set[tuple[int, int]]] = {}
    for each in log:
        made.setdefault(each.id, set()).add((each.input, each.output))
    wrong = [
        row.id
        for row in books.usage
        if row.kind == "charge"
        and row.status == 200
        and not (row.interrupted or row.estimated)
        and (row.input, row.output) not in made.get(row.id, ())
    ]
    verdict.none(wrong, f"rows differ from what was served and are not marked ({name})")
    unmarked = [row.id for row in books.usage if row.interrupted != (row.error_kind == "interrupted")]
    verdict.none(unmarked, f"interrupted rows are not marked ({name})")


def _compare_answers(books: Books, answers: Sequence[Answer], verdict: Verdict, name: str) -> None:
    """Whoever was answered has a row."""
    found: Mapping[str, Row] = {row.request_id: row for row in books.usage if row.kind == "charge"}
    whole = [answer.question.id for answer in answers if answer.status == 200]
    verdict.none(
        [each for each in whole if each not in found or not (found[each].interrupted or found[each].status == 200)],
        f"answers were given without a row ({name})",
    )

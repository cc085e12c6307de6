"""The proofs that anyone can run, in small; and that each of them would find what it looks for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from routing.proofs import budgets, ledger, limits, served
from routing.proofs.books import Books, Held, Row, WindowRow
from routing.proofs.clients import Answer, Question, Questions
from routing.proofs.installation import Made
from routing.proofs.plan import RATES, Node, Plan
from routing.proofs.served import Served
from routing.proofs.torn import tear
from routing.proofs.verdict import Verdict
from tenants.ledger import Entry
from tenants.spool import Spool
from tenants.spool_owners import claim
from tenants.uuid7 import uuid7

DATABASES = [pytest.param("", id="sqlite"), pytest.param("DATABASE_URL", id="postgres", marks=pytest.mark.postgres)]


def verdict_of() -> tuple[Verdict, list[str]]:
    said: list[str] = []
    return Verdict(said.append), said


def passes(verdict: Verdict, said: list[str]) -> None:
    assert verdict.end(), "\n".join(said)
    print("\n".join(said))


# ---------------------------------------------------------------- over real processes


@pytest.mark.parametrize("database", DATABASES)
def test_budgets_hold(database: str) -> None:
    verdict, said = verdict_of()
    scale = budgets.Scale(processes=2, threads=8, requests=1_200, kills=4, seed=1)
    budgets.prove(scale, verdict, os.environ.get(database, ""))
    passes(verdict, said)


@pytest.mark.parametrize("database", DATABASES)
def test_the_ledger_loses_nothing(database: str) -> None:
    verdict, said = verdict_of()
    scale = ledger.Scale(kills=4, workers=2, threads=8, away_seconds=2.0)
    cases = ["kills", "torn"] if database else ["kills", "torn", "readonly", "full", "away"]
    ledger.prove(scale, cases, verdict, os.environ.get(database, ""))
    passes(verdict, said)


def test_limits_hold() -> None:
    verdict, said = verdict_of()
    limits.prove(limits.Scale(seconds=8, processes=2, threads=16), verdict)
    passes(verdict, said)


# ---------------------------------------------------------------- what each of them finds


def line(id: str, label: str = "a/-/k", input: int = 10, output: int = 5, **more: Any) -> Served:
    return Served(
        id, 1, label, input, output, more.get("admitted", 1.0), more.get("arrived", 1.0), more.get("ended", 2.0)
    )


def row(id: str, **changes: Any) -> Row:
    usual = Row(id, "charge", "", f"r-{id}", 200, "", 1, 10, 5, 0, False, False, False)
    return usual._replace(**changes)


def test_costs_are_rounded_half_even() -> None:
    rates = {"input_tokens": 500_000, "output_tokens": 1_000_000}
    assert [served.cost(rates, tokens, 0) for tokens in (1, 3, 5)] == [0, 2, 2]
    assert served.truth([line("1"), line("2", "a/p/k"), line("3", "ab/-/k")], rates, "a") == 2 * 10


def test_the_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = '{"id": "x", "attempt": 1, "label": "a", "input": 1, "output": 2, "admitted": null, "arrived": 5.0}\n'
    log.write_text(first + first.replace(": 1,", ": 2,", 1) + '{"id": "x", "answered": 6.0}\n')
    found = served.read(log)
    assert [(each.attempt, each.answered, each.tokens) for each in found] == [(1, 0.0, 3), (2, 6.0, 3)]


@pytest.mark.parametrize(
    ("spent", "granted", "output", "held", "breach"),
    [
        (990, 0, 99_000, [], ""),
        (990, 0, 101_000, [], "was billed of"),
        (1_001, 0, 99_000, [], "more than its cap"),
        (980, 0, 99_000, [], "was billed, "),
        (960, 0, 96_000, [], "was usable"),
        (990, 5, 99_000, [], "still granted"),
        (990, 0, 99_000, [Held("w", "b1.1", 5, 4)], "still held"),
    ],
)
def test_a_passed_budget_is_found(spent: int, granted: int, output: int, held: list[Held], breach: str) -> None:
    rates = {"input_tokens": 0, "output_tokens": 10_000}
    plan = Plan((Node("a", budget=1_000), Node("a/-/k")), cap=4, rates=rates)
    books = Books([], {"b1.1": WindowRow("b1.1", 1_000, granted, spent)}, held)
    verdict, _ = verdict_of()
    budgets.compare(plan, Made({}, {"a": "b1.1"}), [line("1", input=0, output=output)], books, verdict)
    assert [breach] == [breach for each in verdict.breaches if breach in each] if breach else not verdict.breaches
    assert verdict.end() is not bool(breach)


LOST = row("2", kind="attempt", corrects="1", status=502, output=0)


@pytest.mark.parametrize(
    ("log", "rows", "breach"),
    [
        ([line("1")], [row("1")], ""),
        ([line("1")], [], "lack rows"),
        ([line("1"), line("1")], [row("1")], "lack rows"),
        ([line("1"), line("1")], [row("1", attempts=2)], "lack rows"),
        ([line("1"), line("1")], [row("1"), LOST], ""),
        ([line("1")], [row("1"), row("1")], "are double"),
        ([line("1")], [row("1"), LOST], "more rows than"),
        ([], [row("1", status=429, attempts=0, output=0)], ""),
        ([], [row("1", interrupted=True, error_kind="interrupted")], ""),
        ([], [row("1")], "more rows than"),
        ([line("1", output=6)], [row("1")], "are not marked"),
        ([line("1", output=6)], [row("1", interrupted=True, error_kind="interrupted")], ""),
        ([line("1")], [row("1", interrupted=True)], "interrupted rows are not marked"),
    ],
)
def test_a_wrong_ledger_is_found(log: list[Served], rows: list[Row], breach: str) -> None:
    verdict, _ = verdict_of()
    ledger.compare(log, Books(rows, {}, []), [], (), verdict, "case")
    assert any(breach in each for each in verdict.breaches) if breach else verdict.breaches == []


def test_an_answer_without_a_row_is_found() -> None:
    verdict, _ = verdict_of()
    answers = [Answer(Question(7, "a", None, False), 200), Answer(Question(8, "a", None, False), 0)]
    ledger.compare([], Books([], {}, []), answers, (), verdict, "case")
    assert verdict.breaches == ["1 answers were given without a row (case): proof-7"]


def test_windows_of_a_minute() -> None:
    counted = [(0.0, 1), (30.0, 1), (59.9, 1), (60.0, 1), (119.0, 5)]
    assert limits.most_in_window(counted, 60.0) == 7
    assert limits.first_window(counted, 60.0) == 3
    at_once = [
        line(str(n), arrived=start, ended=end) for n, (start, end) in enumerate([(0, 2), (1, 3), (2, 4), (9, 0)])
    ]
    assert limits.most_at_once(at_once) == 2


def test_a_third_asks_for_no_cap() -> None:
    drawn = list(Questions(900, {"a": 1.0, "b": 0.0}, 512, seed=1, first=5))
    assert (drawn[0].number, drawn[-1].number, {each.label for each in drawn}) == (5, 904, {"a"})
    assert 250 < sum(each.cap is None for each in drawn) < 350
    assert all(16 <= each.cap <= 512 for each in drawn if each.cap is not None)
    assert max(len(each.body()) for each in drawn) <= 700


def test_what_is_torn_is_told(tmp_path: Path) -> None:
    spool = Spool(claim(tmp_path))
    first, second = Entry(uuid7()), Entry(uuid7())
    for entry in (first, second):
        spool.intend(entry, {})
    found = tear(tmp_path)
    assert (found.torn, found.lost) == (1, {str(second.id)})
    spool.close()


def test_budgets_of_a_plan_are_used_up_from_within() -> None:
    plan = budgets.plan_of(20_000)
    large = [node for node in plan.budgets if node.budget >= budgets.LARGE * plan.largest]
    assert {node.depth for node in large} == {0, 1, 2} and len(large) == 6
    assert all(budgets.key_for(node, plan) in plan.keys for node in large)
    assert plan.rates == RATES and set(budgets.weights(plan)) == set(plan.keys)

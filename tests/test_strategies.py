"""Every strategy is a permutation that keeps to priorities; shares follow weights, stickiness and what was measured."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import BadRequest
from providers.upstream import Upstream
from routing.facts import Facts
from routing.strategies import EXPLORE, STRATEGIES, State, check_sticky, sticky_key
from routing.table import Target
from tests import recordings

UPSTREAM = Upstream(1, "p", "demo", "http://p", frozenset({"chat"}))
DECISIONS, KEYS = 100_000, 30_000
TURNS = ("messages", "contents", "input")


def target(id: int, weight: int = 1, priority: int = 0) -> Target:
    return Target(id, UPSTREAM, weight=weight, priority=priority)


def firsts(name: str, targets: list[Target], keys: Iterator[str], state: State, seed: int = 7) -> Counter[int]:
    """How often each target is first, over DECISIONS requests."""
    rng, found = random.Random(seed), Counter[int]()
    for key in keys:
        ordered = STRATEGIES[name](targets, state, key, rng)
        state.take(ordered)
        found[ordered[0].id] += 1
    return found


def numbers(count: int = DECISIONS) -> Iterator[str]:
    return (f"key-{n}" for n in range(count))


TARGETS = st.lists(
    st.builds(target, st.integers(1, 10**9), st.integers(0, 1000), st.integers(-3, 3)),
    max_size=12,
    unique_by=lambda t: t.id,
)


@given(st.sampled_from(sorted(STRATEGIES)), TARGETS, st.text(max_size=20), st.integers(), st.data())
def test_an_order_is_a_permutation_by_priority_and_the_same_again(
    name: str, targets: list[Target], key: str, seed: int, data: st.DataObject
) -> None:
    state = State()
    for one in targets:
        for _ in range(data.draw(st.integers(0, 3))):
            state.enter(one.id)
        if data.draw(st.booleans()):
            state.measure(one.id, data.draw(st.floats(0, 100)), data.draw(st.booleans()))
    before = list(targets)
    ordered = STRATEGIES[name](targets, state, key, random.Random(seed))
    assert targets == before
    assert sorted(t.id for t in ordered) == sorted(t.id for t in targets)
    assert [t.priority for t in ordered] == sorted(t.priority for t in targets)
    assert ordered == STRATEGIES[name](targets, state, key, random.Random(seed))
    state.take(ordered)
    state.keep({t.id for t in targets[:1]})
    assert set(state.credit) | set(state.first_byte) <= {t.id for t in targets[:1]}


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_weight_zero_only_stands_in(name: str) -> None:
    targets = [target(1, 0), target(2), target(3, 0, priority=-1), target(4, 1, priority=-1)]
    for n in range(200):
        # What was never measured is tried once, and a few requests explore: that must not reach the second priority.
        ordered = STRATEGIES[name](targets, State(), f"key-{n}", random.Random(n))
        assert {t.id for t in ordered[:2]} == {3, 4}
        if name != "lowest_latency":
            assert [t.id for t in ordered] == [4, 3, 2, 1]


@pytest.mark.parametrize("name", ["priority", "weighted", "round_robin", "least_in_flight", "sticky"])
def test_shares_follow_weights(name: str) -> None:
    targets = [target(1, 50), target(2, 30), target(3, 15), target(4, 5), target(5, 7, priority=1)]
    found = firsts(name, targets, numbers(), State())
    print(f"{name}: " + ", ".join(f"{t.weight} % -> {found[t.id] / DECISIONS:.2%}" for t in targets[:4]))
    for one in targets[:4]:
        assert abs(found[one.id] / DECISIONS - one.weight / 100) <= 0.01
    assert not found[5]


def test_sticky_moves_only_the_share_of_a_lost_target() -> None:
    targets = [target(n) for n in range(1, 11)]
    lost, moved, gained = targets[3], 0, Counter[int]()
    rest = [t for t in targets if t is not lost]
    rng, state = random.Random(1), State()
    for key in numbers(KEYS):
        before = STRATEGIES["sticky"](targets, state, key, rng)
        after = STRATEGIES["sticky"](rest, state, key, rng)
        moved += before[0] is not after[0]
        gained[after[0].id] += before[0] is lost
        assert after == [t for t in before if t is not lost]
    print(f"losing one of ten targets moves {moved / KEYS:.2%} of the keys")
    assert 0 < moved <= 0.12 * KEYS
    assert max(gained.values()) < 1.3 * min(gained[t.id] for t in rest)


def test_round_robin_is_exact_and_mixed() -> None:
    state, targets = State(), [target(1, 5), target(2, 1), target(3, 1)]
    rng, found = random.Random(0), []
    for _ in range(14):
        ordered = STRATEGIES["round_robin"](targets, state, "", rng)
        state.take(ordered)
        found.append(ordered[0].id)
    assert Counter(found) == {1: 10, 2: 2, 3: 2}
    assert all(found[n : n + 7].count(2) == 1 for n in range(8))
    assert "111111" not in "".join(map(str, found))


def test_explaining_takes_no_turn() -> None:
    state, targets = State(), [target(1), target(2)]
    orders = [STRATEGIES["round_robin"](targets, state, "", random.Random(0)) for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]
    state.take(orders[0])
    assert STRATEGIES["round_robin"](targets, state, "", random.Random(0))[0] is not orders[0][0]


@given(st.lists(st.tuples(st.sets(st.integers(0, 5), min_size=1), st.integers(1, 50)), max_size=60))
def test_a_round_that_changes_never_saves_up(rounds: list[tuple[set[int], int]]) -> None:
    """Sets and weights change under it: nobody is owed more than one round."""
    state = State()
    for ids, weight in rounds:
        targets = [target(n, weight + n) for n in sorted(ids)]
        state.take(STRATEGIES["round_robin"](targets, state, "", random.Random(0)))
        total = sum(t.weight for t in targets)
        assert all(-total <= state.credit[t.id] <= total for t in targets)


def simulate(
    name: str, seconds: Callable[[int, float], float], requests: int, every: float, state: State
) -> list[tuple[float, int]]:
    """Requests at an even pace against targets 1 to 3, in simulated time: when each was sent and where."""
    targets = [target(1), target(2), target(3)]
    rng, under_way, sent = random.Random(11), list[tuple[float, int, float]](), []
    for n in range(requests):
        now = n * every
        while under_way and under_way[0][0] <= now:
            _, done, took = heapq.heappop(under_way)
            state.leave(done)
            state.measure(done, took)
        ordered = STRATEGIES[name](targets, state, "", rng)
        state.take(ordered)
        chosen = ordered[0].id
        state.enter(chosen)
        took = seconds(chosen, now) * rng.uniform(0.8, 1.2)
        heapq.heappush(under_way, (now + took, chosen, took))
        sent.append((now, chosen))
    return sent


def shares(sent: list[tuple[float, int]]) -> dict[int, float]:
    found = Counter(chosen for _, chosen in sent)
    return {n: found[n] / len(sent) for n in (1, 2, 3)}


@pytest.mark.parametrize(("name", "most"), [("weighted", 1.0), ("least_in_flight", 0.08), ("lowest_latency", 0.03)])
def test_a_slow_target_gets_fewer_requests(name: str, most: float) -> None:
    sent = simulate(name, lambda n, now: 1.0 if n == 3 else 0.1, 20_000, 0.005, State())
    found = shares(sent)
    print(f"{name}: the target that is ten times slower gets {found[3]:.2%}")
    assert found[3] <= most
    assert found[3] > 0.3 if name == "weighted" else found[3] > 0


def test_a_target_that_was_slow_is_found_again() -> None:
    state = State()
    sent = simulate("lowest_latency", lambda n, now: 5.0 if n == 3 and now < 50 else 0.1 * n, 40_000, 0.005, state)
    slow = shares([one for one in sent if one[0] < 50])
    assert slow[1] > 0.9
    assert slow[3] < EXPLORE
    assert state.first_byte[3] < 1.0
    state.measure(1, 9.0)
    assert STRATEGIES["lowest_latency"]([target(1), target(3)], state, "", random.Random(1))[0].id == 3


def test_one_request_at_a_time_explores_the_unmeasured() -> None:
    state, targets, rng = State(), [target(1), target(2)], random.Random(3)
    state.measure(1, 0.5)
    assert STRATEGIES["lowest_latency"](targets, state, "", rng)[0].id == 2
    state.enter(2)
    assert STRATEGIES["lowest_latency"](targets, state, "", rng)[0].id == 1
    state.leave(2)
    state.measure(2, 0.001, ok=False)
    assert STRATEGIES["lowest_latency"](targets, state, "", rng)[0].id == 1
    assert state.in_flight == {}


def test_fewest_under_way_for_the_weight() -> None:
    state, targets, rng = State(), [target(1, 3), target(2, 1)], random.Random(0)
    for n in (1, 1, 2):
        state.enter(n)
    assert STRATEGIES["least_in_flight"](targets, state, "", rng)[0].id == 1
    state.enter(1)
    state.enter(1)
    assert STRATEGIES["least_in_flight"](targets, state, "", rng)[0].id == 2


def test_what_a_request_sticks_by() -> None:
    facts = Facts({}, headers={b"x-session": b"abc"}, tenant_id=3, key_id=9, end_user="ann")
    assert sticky_key("key", facts) == "9"
    assert sticky_key("user", facts) == "3:ann"
    assert sticky_key("header:X-Session", facts) == "3:abc"
    bare = Facts({})
    assert [sticky_key(by, bare) for by in ("key", "user", "header:x", "conversation")] == [""] * 4
    for by in ("key", "user", "conversation", "header:x-session"):
        check_sticky(by)
    for by in ("", "header:", "header: ", "tenant"):
        with pytest.raises(BadRequest, match="sticky_by"):
            check_sticky(by)


def conversation(**doc: object) -> str:
    return sticky_key("conversation", Facts(doc, tenant_id=1))


def test_a_conversation_keeps_its_key_as_it_grows() -> None:
    first = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    later = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "go"},
    ]
    system = [{"role": "system", "content": "be brief"}]
    assert conversation(system="s", messages=[first]) == conversation(system="s", messages=later) != ""
    assert conversation(messages=[*system, first]) == conversation(messages=system + later)
    assert conversation(messages=[*system, first]) != conversation(messages=[first])
    assert conversation(instructions="be brief", input="hi") == conversation(messages=[*system, first])
    assert conversation(contents=[{"parts": [{"text": "hi"}]}]) == conversation(messages=[first])
    assert conversation(prompt_cache_key="mine", input="a") == conversation(prompt_cache_key="mine", input="b")
    assert conversation(system="ab", messages=[first]) != conversation(system="a", messages=[first])
    assert conversation(input=[{"type": "reasoning", "summary": "x"}, *later]) == conversation(messages=later)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "input", "contents", "content", "parts", "type", "role", "inlineData", "text", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from([*TURNS, "system", "prompt", "tools", "text", "generationConfig"]), JSON))
def test_garbage_has_facts_too(doc: dict[str, object]) -> None:
    facts = Facts(doc, size=1000)
    assert isinstance(facts.conversation, str)
    assert facts.least_tokens <= facts.input_tokens
    assert all(isinstance(facts.has(flag), bool) for flag in ("tools", "images", "structured"))


def test_recorded_conversations_keep_their_key_as_they_grow() -> None:
    """The first turns alone have the key of the whole."""
    checked = 0
    for recording in recordings.require():
        doc = recording.request_body
        name = next((name for name in TURNS if isinstance(doc.get(name), list)), "")
        roles = [turn.get("role") if isinstance(turn, dict) else "user" for turn in doc.get(name, ())]
        if "user" not in roles:
            continue
        cut = {**doc, name: doc[name][: roles.index("user") + 1]}
        assert Facts(cut).conversation == Facts(doc).conversation, recording.id
        checked += Facts(cut).conversation != ""
    print(f"{checked} recorded conversations keep their key")
    assert checked > 0.99 * len(recordings.of_dialect("anthropic"))


def test_a_decision_is_quick() -> None:
    """Printed, not judged: this machine may be busy."""
    state, rng = State(), random.Random(0)
    for count in (3, 10):
        targets = [target(n, n) for n in range(1, count + 1)]
        for one in targets:
            state.measure(one.id, 0.1)
        for name, order in STRATEGIES.items():
            took = []
            for _ in range(300):
                began = time.perf_counter()
                for _ in range(10):
                    state.take(order(targets, state, "some key", rng))
                took.append((time.perf_counter() - began) / 10 * 1e6)
            print(f"{name} over {count} targets: {min(took):.1f} µs at best, {sorted(took)[150]:.1f} µs in the middle")

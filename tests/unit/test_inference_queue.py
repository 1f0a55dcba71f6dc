"""Whose request is drawn next: newest of a live view, live before batch, clients in turns, nothing lost or twice."""

from __future__ import annotations

import random

import pytest

from backend.server.inference_queue import LIVE_IN_A_ROW, InferenceQueue, Ticket


def queue_of(*tickets: Ticket, most: int = 64) -> InferenceQueue:
    queue = InferenceQueue(most)
    assert [queue.put(ticket) for ticket in tickets] == [None] * len(tickets)
    return queue


def batch(client: str = "a", count: int = 1) -> list[Ticket]:
    return [Ticket(client=client) for _ in range(count)]


def taken(queue: InferenceQueue) -> list[Ticket]:
    return [queue.take() for _ in range(len(queue))]


def test_one_clients_batch_keeps_its_order():
    tickets = batch(count=5)
    assert taken(queue_of(*tickets)) == tickets


def test_a_live_view_goes_before_a_batch_that_waited_longer():
    first, second = batch(count=2)
    live = Ticket("view", "a")
    assert taken(queue_of(first, second, live)) == [live, first, second]


def test_the_newest_of_a_live_view_takes_the_older_ones_place():
    one, other, newer = Ticket("one"), Ticket("other"), Ticket("one")
    queue = queue_of(one, other)
    assert queue.put(newer) is one
    assert taken(queue) == [newer, other]


def test_a_live_view_whose_request_was_drawn_waits_anew():
    one = Ticket("one")
    queue = queue_of(one)
    assert queue.take() is one and queue.put(Ticket("one")) is None


@pytest.mark.parametrize("most", [1, 3])
def test_in_a_full_queue_the_newest_live_request_replaces_the_one_that_waits(most):
    views = [Ticket(f"view {number}") for number in range(most)]
    full = queue_of(*views, *batch(count=most), most=most)
    newer = Ticket("view 0")
    assert full.put(newer) is views[0]
    assert full.take() is newer


def test_a_full_batch_does_not_keep_a_live_view_out():
    full = queue_of(*batch(count=3), most=3)
    live = Ticket("view", "a")
    assert full.put(live) is None and full.take() is live


def test_a_batch_has_its_turn_among_live_views_that_never_rest():
    waiting = batch()[0]
    queue, order = queue_of(waiting), []
    for number in range(2 * LIVE_IN_A_ROW):
        queue.put(Ticket(f"view {number % 2}"))
        order.append(queue.take())
    assert order.index(waiting) == LIVE_IN_A_ROW


def test_clients_take_turns():
    many, few = batch("many", 4), batch("few", 2)
    assert taken(queue_of(*many, *few)) == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_where_there_is_no_more_room_whoever_wants_most_gives_way():
    many = batch("many", 4)
    full = queue_of(*many, most=4)
    few = batch("few", 3)
    assert [full.put(ticket) for ticket in few] == [many[3], many[2], few[2]]
    assert taken(full) == [many[0], few[0], many[1], few[1]]


def test_a_full_queue_refuses_what_its_largest_client_adds():
    full = queue_of(*batch("a", 2), *batch("b", 1), most=3)
    for client in ("a", "b"):
        ticket = Ticket(client=client)
        assert full.put(ticket) is ticket
    assert len(full) == 3


def test_what_is_discarded_waits_no_more_and_makes_room():
    first, second = batch(count=2)
    live = Ticket("view")
    queue = queue_of(first, second, live, most=2)
    for ticket in (first, live, live, Ticket("view"), Ticket(client="nobody")):
        queue.discard(ticket)
    assert queue.put(third := batch()[0]) is None
    assert taken(queue) == [second, third]


@pytest.mark.parametrize("seed", range(20))
def test_every_ticket_ends_in_one_way(seed):
    draw = random.Random(seed)
    queue, waiting, ended = InferenceQueue(5), set(), []
    for _ in range(300):
        action = draw.random()
        if action < 0.6:
            ticket = Ticket(draw.choice(["", "", "view 1", "view 2"]), draw.choice("abc"))
            waiting.add(ticket)
            ended += filter(None, [queue.put(ticket)])
        elif action < 0.9 and queue:
            ended.append(queue.take())
        elif waiting:
            queue.discard(gone := draw.choice(sorted(waiting, key=id)))
            ended.append(gone)
        waiting -= set(ended)
        assert len(queue) == len(waiting) and queue.batch_length <= 5 and len(queue.live) <= 2
        assert len(ended) == len(set(ended))
    assert set(taken(queue)) == waiting

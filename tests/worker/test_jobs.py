"""Which job goes when."""

from __future__ import annotations

from workbench.session.submission import make_submission
from workbench.worker.jobs import Job, Jobs


def step(number: int, long: bool = False) -> Job:
    submission = make_submission("sweep" if long else "predict", {}, [])
    return Job(submission, session="s", step=number)


def peek(slot: str, client: object = None) -> Job:
    return Job(make_submission("predict", {}, []), client=client, peek=1, slot=slot)


def numbers(jobs: list[Job]) -> list[int]:
    return [job.step for job in jobs]


def test_one_at_a_time_interactive_first() -> None:
    jobs = Jobs()
    for job in (step(1, long=True), step(2), step(3)):
        jobs.add(job)
    (sent,) = jobs.next_to_send()
    assert sent.step == 2
    assert jobs.next_to_send() == []
    jobs.remove(sent)
    (sent,) = jobs.next_to_send()
    assert sent.step == 3
    jobs.remove(sent)
    assert numbers(jobs.next_to_send()) == [1]


def test_beside_a_batch_interactive_ones_go_at_once_and_batches_wait() -> None:
    jobs = Jobs()
    jobs.add(step(1, long=True))
    (outer,) = jobs.next_to_send()
    outer.state = "running"
    for job in (step(2), step(3, long=True), step(4)):
        jobs.add(job)
    assert numbers(jobs.next_to_send()) == [2, 4]
    assert jobs.next_to_send() == []
    jobs.remove(outer)
    assert jobs.next_to_send() == []  # 2 and 4 are inside
    for number in (2, 4):
        jobs.remove(jobs.find("s", number))
    assert numbers(jobs.next_to_send()) == [3]


def test_a_newer_peek_takes_the_place_of_one_that_has_not_begun() -> None:
    jobs = Jobs()
    first, other, elsewhere = peek("card"), peek("preview"), peek("card", client="another")
    assert [jobs.add(job) for job in (first, other, elsewhere)] == [[], [], []]
    assert jobs.add(peek("card")) == [first]
    jobs.remove(first)
    (sent,) = jobs.next_to_send()
    sent.state = "running"
    assert sent is other
    assert jobs.add(peek("preview")) == []


def test_when_the_process_is_gone_what_had_not_begun_waits_again_in_order() -> None:
    jobs = Jobs()
    jobs.add(step(1, long=True))
    (outer,) = jobs.next_to_send()
    outer.state = "running"
    for number in (2, 3, 4):
        jobs.add(step(number))
    inside = jobs.next_to_send()
    inside[0].state = "running"
    inside[2].end_reported = True  # cancelled before it began
    jobs.add(step(5))
    assert numbers(jobs.process_ended()) == [1, 2]
    assert numbers(list(jobs)) == [3, 5]
    assert all(job.state == "queued" for job in jobs)

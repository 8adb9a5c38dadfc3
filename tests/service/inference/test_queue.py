"""The queue before the model, in the hands of a clock that stands still: who goes, together with whom, and when."""

from collections.abc import Callable

import pytest

from captioner.decoding import DecodingOptions
from service.errors import DeadlinePassedError, DrainingError
from service.inference.jobs import Captioning, Job, Model, Photo, Scoring, Task
from service.inference.queue import JobQueue
from tests.support.fakes import FakePredictor
from tests.support.gates import Clock, Listener, picture

GREEDY, BEAM = (Captioning(DecodingOptions(beam_size=size)) for size in (1, 5))
MODEL = Model(FakePredictor())


class Hall:
    """A queue of up to three at a time, with all that belongs to it."""

    def __init__(self, max_batch: int = 3, max_wait: float = 0.004) -> None:
        self.clock = Clock()
        self.listener = Listener()
        self.elsewhere = 0  # photos that hold a place and are still being decoded
        self.entered = 0
        self.queue = JobQueue(max_batch, max_wait, lambda: self.entered + self.elsewhere, self.listener, self.clock)

    def enter(self, task: Task = GREEDY, model: Model = MODEL, patience: float = 10) -> Job:
        job = Job(model, picture(0), Photo(8, 8, None), task, self.clock.now + patience)
        job.submitted = self.clock.now
        self.entered += 1
        self.queue.put(job)
        return job

    def take(self) -> list[Job]:
        """Take a batch that is due; if none were, this would wait for ever."""
        taken = self.queue.take()
        assert isinstance(taken, list)
        self.entered -= len(taken)
        return taken

    def pause(self, free_since: float | None = None) -> float:
        """Return how long the next batch would wait by now."""
        free = self.clock.now if free_since is None else free_since
        return self.queue.pause(self.queue.next_batch(self.clock.now), free, self.clock.now)


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_a_lone_request_never_waits(hall: Hall) -> None:
    for _ in range(3):
        job = hall.enter()
        assert hall.pause() <= 0
        assert hall.take() == [job]


def test_a_full_batch_goes_at_once(hall: Hall) -> None:
    hall.elsewhere = 5
    jobs = [hall.enter() for _ in range(4)]
    assert hall.pause() <= 0
    assert hall.take() == jobs[:3]


CROWDS: dict[str, Callable[[Hall], object]] = {
    "someone is being decoded": lambda hall: setattr(hall, "elsewhere", 1),
    "someone else waits": lambda hall: hall.enter(BEAM),
    "the last batch had several": lambda hall: [hall.enter(BEAM), hall.enter(BEAM), hall.take()],
}


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS.keys())
def test_in_a_crowd_a_batch_waits_a_little_for_more(crowd: Callable[[Hall], object]) -> None:
    hall = Hall()
    if crowd is CROWDS["the last batch had several"]:
        crowd(hall)
    job = hall.enter()
    if crowd is not CROWDS["the last batch had several"]:
        crowd(hall)
    assert hall.pause() == pytest.approx(0.004)
    hall.clock.now += 0.003
    assert hall.pause(free_since=1000) == pytest.approx(0.001)
    hall.clock.now += 0.001
    assert hall.pause(free_since=1000) <= 1e-9
    hall.clock.now += 1
    assert hall.queue.next_batch(hall.clock.now) == [job]


def test_the_wait_begins_when_the_model_is_free(hall: Hall) -> None:
    hall.elsewhere = 1
    hall.enter()
    hall.clock.now += 5
    assert hall.pause(free_since=hall.clock.now - 0.001) == pytest.approx(0.003)


def test_those_of_one_task_go_together_in_their_order(hall: Hall) -> None:
    other = Model(FakePredictor())
    first = hall.enter(GREEDY)
    beam = hall.enter(BEAM)
    second = hall.enter(Captioning(DecodingOptions(beam_size=1)))
    elsewhere = hall.enter(GREEDY, other)
    score = hall.enter(Scoring("red"))
    inside = hall.enter(Captioning(DecodingOptions(beam_size=1), activations=True))
    third, fourth = hall.enter(GREEDY), hall.enter(GREEDY)
    hall.queue.close()  # so that nobody waits for more
    assert [hall.take() for _ in range(6)] == [[first, second, third], [beam], [elsewhere], [score], [inside], [fourth]]
    assert hall.listener.depths == [*range(1, 9), 5, 4, 3, 2, 1, 0]


def test_one_at_a_time_is_in_order_and_never_waits() -> None:
    hall = Hall(max_batch=1)
    jobs = [hall.enter() for _ in range(3)]
    hall.elsewhere = 9
    assert [hall.take() for _ in jobs] == [[job] for job in jobs]


def test_who_waited_too_long_is_not_shown_to_the_model(hall: Hall) -> None:
    late, patient = hall.enter(patience=1), hall.enter(patience=3)
    hall.clock.now += 2
    hall.queue.close()  # so that nobody waits for more
    assert hall.take() == [patient]
    with pytest.raises(DeadlinePassedError, match=r"within 2\.0 seconds"):
        late.answer.result(0)
    assert hall.listener.reasons == ["deadline"]


def test_who_gave_up_is_not_shown_to_the_model(hall: Hall) -> None:
    first, gone, last = hall.enter(), hall.enter(), hall.enter()
    assert gone.answer.cancel()
    hall.elsewhere = 0
    hall.queue.close()
    assert hall.take() == [first, last]
    assert hall.listener.reasons == []  # it is whoever gave up that says so


def test_calls_go_first_and_nothing_comes_after_the_close(hall: Hall) -> None:
    job = hall.enter()

    def call() -> None:
        raise AssertionError

    hall.queue.put_call(call)
    assert hall.queue.take() is call
    hall.queue.close()
    with pytest.raises(DrainingError):
        hall.enter()
    with pytest.raises(DrainingError):
        hall.queue.put_call(call)
    assert hall.take() == [job]
    assert hall.queue.take() is None

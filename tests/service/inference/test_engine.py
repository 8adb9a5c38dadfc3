"""The engine with a model that waits at a gate: batches, places, deadlines, failures, and the end."""

import gc
import io
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.errors import InvalidImageError, OptionError
from captioner.images import DecodedPhoto, ImageLimits
from captioner.types import Caption
from service import Settings
from service.errors import BusyError, DeadlinePassedError, DrainingError, NotReadyError, StuckError
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Job, Model, Photo, Scoring, Task
from service.inference.worker import batch_sizes
from tests.support.fakes import FakeInfo, FakePredictor
from tests.support.gates import PATIENCE, Clock, Gate, Listener, picture, red

PHOTO = Photo(8, 8, None)
GREEDY = Captioning(DecodingOptions(beam_size=1))
TASKS: list[Task] = [GREEDY, Captioning(DecodingOptions(beam_size=3)), Scoring("red"), Scoring("red", activations=True)]


class Bench:
    """An engine, and all around it."""

    def __init__(self, predictor: Any, **changes: Any) -> None:
        self.clock = Clock()
        self.listener = Listener()
        self.engine = Engine(replace(Settings(max_wait_ms=0), **changes), self.listener, self.clock)
        self.engine.use(Model(predictor))

    def submit(self, shade: int, task: Task = GREEDY, patience: float = 10) -> Job:
        job = Job(self.engine.model, picture(shade), PHOTO, task, self.clock.now + patience)
        self.engine.submit(job)
        return job

    def close(self) -> None:
        assert self.engine.drain(PATIENCE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def text(job: Job) -> str:
    return job.answer.result(PATIENCE).captions[0].text


def test_sizes_are_few_and_waste_little() -> None:
    assert batch_sizes(1) == [1]
    assert batch_sizes(8) == [1, 2, 3, 4, 6, 8]
    assert batch_sizes(10) == [1, 2, 3, 4, 6, 8, 10]
    for most in range(1, 257):
        sizes = batch_sizes(most)
        assert (sizes[0], sizes[-1]) == (1, most)
        assert len(sizes) <= 2 * most.bit_length()
        assert all(3 * small >= 2 * large or small == 1 for small, large in pairwise(sizes))


def test_what_waits_runs_together_padded_to_a_size(gate: Gate) -> None:
    bench = Bench(gate)
    first = bench.submit(0)
    gate.wait_until_entered()
    rest = [bench.submit(shade) for shade in range(1, 6)]
    bench.clock.now += 2
    gate.opened.set()
    assert [text(job) for job in (first, *rest)] == [f"a photo of red {shade}" for shade in range(6)]
    assert gate.batches == [[0], [1, 2, 3, 4, 5, 5]]
    bench.close()
    assert [(size, waited) for size, waited, _ in bench.listener.batches] == [(1, [0.0]), (5, [2.0] * 5)]


def test_no_batch_is_padded_for_a_model_that_takes_any_size(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "compiles_sizes", False)
    bench = Bench(gate)
    jobs = [bench.submit(0)]
    gate.wait_until_entered()
    jobs += [bench.submit(shade) for shade in range(1, 6)]
    gate.opened.set()
    assert [text(job) for job in jobs] == [f"a photo of red {shade}" for shade in range(6)]
    assert gate.batches == [[0], [1, 2, 3, 4, 5]]
    bench.close()


def test_no_batch_is_larger_than_allowed_and_order_is_kept(gate: Gate) -> None:
    bench = Bench(gate, max_batch=3)
    jobs = [bench.submit(0)]
    gate.wait_until_entered()
    jobs += [bench.submit(shade) for shade in range(1, 8)]
    gate.opened.set()
    assert [text(job) for job in jobs] == [f"a photo of red {shade}" for shade in range(8)]
    assert gate.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


class Poisonous(Gate):
    """A model that cannot bear red 13, returns one answer too few if it sees red 99, and dies of red 200."""

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        found = super().captions(images, options, activations=activations)
        shades = list(map(red, images))
        if 200 in shades:
            raise SystemExit
        if 13 in shades:
            raise ValueError("poison")
        return found[1:] if 99 in shades else found


def test_a_poisonous_photo_hurts_only_itself() -> None:
    gate = Poisonous()
    bench = Bench(gate)
    jobs = [bench.submit(0)]
    gate.wait_until_entered()
    jobs += [bench.submit(shade) for shade in (1, 13, 2, 3)]
    gate.opened.set()
    with pytest.raises(ValueError, match="poison"):
        text(jobs[2])
    assert [text(jobs[index]) for index in (0, 1, 3, 4)] == [f"a photo of red {shade}" for shade in (0, 1, 2, 3)]
    assert gate.batches == [[0], [1, 13, 2, 3], [1], [13], [2], [3]]
    assert text(bench.submit(4)) == "a photo of red 4"
    bench.close()
    assert [size for size, _, _ in bench.listener.batches] == [1, 1, 1, 1, 1]


def test_answers_of_a_wrong_count_belong_to_nobody() -> None:
    gate = Poisonous()
    bench = Bench(gate)
    jobs = [bench.submit(0)]
    gate.wait_until_entered()
    jobs += [bench.submit(shade) for shade in (1, 99)]
    gate.opened.set()
    assert text(jobs[0]) == "a photo of red 0"
    for job in jobs[1:]:
        with pytest.raises(Exception, match="returned 1 answers to 2 photos"):
            text(job)
    assert gate.batches == [[0], [1, 99]]
    assert text(bench.submit(5)) == "a photo of red 5"


def test_who_gives_up_is_not_shown_to_the_model(gate: Gate) -> None:
    bench = Bench(gate)
    running = bench.submit(0)
    gate.wait_until_entered()
    gone, late, last = bench.submit(1), bench.submit(2, patience=3), bench.submit(3)
    bench.engine.cancel(gone)
    bench.engine.cancel(running)  # too late: the model looks at it already
    bench.clock.now += 4
    gate.opened.set()
    with pytest.raises(DeadlinePassedError):
        text(late)
    assert text(last) == "a photo of red 3"
    assert text(running) == "a photo of red 0"
    assert gate.batches == [[0], [3]]
    assert sorted(bench.listener.reasons) == ["cancelled", "deadline"]


def test_who_waits_gives_up_at_the_deadline(gate: Gate) -> None:
    bench = Bench(gate)
    running = bench.submit(0)
    gate.wait_until_entered()
    waiting = bench.submit(1)
    bench.clock.now += 10
    for job in (running, waiting):
        with pytest.raises(DeadlinePassedError):
            bench.engine.wait(job)
    gate.opened.set()
    bench.close()
    assert gate.batches == [[0]]
    assert bench.listener.reasons == ["deadline"]  # the other one was not given up before the model saw it


def test_places_are_counted_exactly(gate: Gate) -> None:
    bench = Bench(gate, max_waiting=3)
    with bench.engine.admit(2) as deadline:
        assert deadline == bench.clock.now + 30
        with bench.engine.admit(), pytest.raises(BusyError, match="3 photos already wait"), bench.engine.admit():
            pytest.fail("there were three places")
        with pytest.raises(BusyError), bench.engine.admit(2):
            pytest.fail("one place is not two")
    with bench.engine.admit(3):
        pass
    assert bench.listener.reasons == ["queue_full", "queue_full"]


def test_busy_says_when_to_come_again() -> None:
    class Slow(FakePredictor):
        def captions(self, *args: Any, **kwargs: Any) -> list[list[Caption]]:
            bench.clock.now += 2.5
            return super().captions(*args, **kwargs)

    bench = Bench(Slow(), max_waiting=4)

    def retry_after() -> int:
        with bench.engine.admit(4), pytest.raises(BusyError) as caught, bench.engine.admit():
            pytest.fail("there were four places")
        return caught.value.retry_after

    assert retry_after() == 1
    text(bench.submit(0))
    assert retry_after() == 10  # four times 2.5 seconds
    for _ in range(30):
        bench.engine._admission.learn(1, 1000)
    assert retry_after() == 60


@pytest.mark.parametrize("data", [b"GIF89a", b"\xff\xd8\xff garbage"])
def test_what_cannot_be_decoded_is_the_client_s_error(data: bytes) -> None:
    bench = Bench(FakePredictor())
    with pytest.raises(InvalidImageError):
        bench.engine.decode(data, GREEDY, deadline=bench.clock.now + 10)
    assert bench.listener.decodings == 0


def test_a_photo_keeps_its_size_but_not_its_pixels() -> None:
    class Preparing(FakePredictor):
        def prepare(self, image: Image.Image) -> Image.Image:
            return image.resize((4, 4))

    bench = Bench(Preparing())
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (7, 0, 0)).save(file, "PNG")
    job = bench.engine.decode(file.getvalue(), Captioning(DecodingOptions()), deadline=bench.clock.now + 10)
    assert (job.photo.width, job.photo.height, job.photo.format, job.picture.size) == (64, 48, "PNG", (4, 4))
    bench.engine.submit(job)
    answer = bench.engine.wait(job)
    assert answer.captions[0].text == "a photo of red 7"
    assert bench.listener.decodings == 1


def test_a_predictor_may_read_photos_itself() -> None:
    limits = ImageLimits(max_side=999)

    class Reading(FakePredictor):
        def read(self, data: bytes, given: ImageLimits) -> DecodedPhoto:
            assert (data, given) == (b"a large photo", limits)
            return DecodedPhoto(picture(9), 4000, 3000, "JPEG")

    bench = Bench(Reading())
    job = bench.engine.decode(b"a large photo", GREEDY, limits, deadline=bench.clock.now + 10)
    assert job.photo == Photo(4000, 3000, "JPEG")
    bench.engine.submit(job)
    assert bench.engine.wait(job).captions[0].text == "a photo of red 9"


def test_decoding_is_limited_and_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, lock, opened = [0], [0], threading.Lock(), threading.Event()

    def decode_photo(*_: object) -> DecodedPhoto:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        assert opened.wait(PATIENCE)
        with lock:
            at_once[0] -= 1
        return DecodedPhoto(picture(1), 8, 8, "PNG")

    monkeypatch.setattr("service.inference.predictor.decode_photo", decode_photo)
    bench = Bench(FakePredictor(), max_decoding=2)
    with ThreadPoolExecutor(8) as threads:
        reading = [
            threads.submit(bench.engine.decode, b"", GREEDY, deadline=bench.clock.now + PATIENCE) for _ in range(6)
        ]
        with pytest.raises(DeadlinePassedError):
            bench.engine.decode(b"", GREEDY, deadline=bench.clock.now)
        opened.set()
        assert len([future.result(PATIENCE) for future in reading]) == 6
    assert most == [2]


def test_a_new_model_answers_what_comes_after_it(gate: Gate) -> None:
    class Other(FakePredictor):
        info = FakeInfo(sha256="abc")

        def scores(self, *_: Any, **__: Any) -> list[Caption]:
            raise OptionError("another model")

    bench = Bench(gate)
    old = weakref.ref(bench.engine.model)
    before = [bench.submit(0)]
    gate.wait_until_entered()
    before += [bench.submit(shade, Scoring("red")) for shade in (1, 2)]
    bench.engine.use(Model(Other()))
    after = bench.submit(3, Scoring("red"))
    gate.opened.set()
    assert [text(job) for job in before] == ["a photo of red 0", "red 1", "red 2"]
    with pytest.raises(OptionError, match="another model"):
        text(after)
    assert bench.listener.models == [("fake", "1.2.3", 64 * "f"), ("fake", "1.2.3", "abc")]
    assert bench.listener.readiness == [True]
    del before
    gc.collect()
    assert old() is None  # nothing keeps it in memory


def test_without_a_model_there_are_no_places() -> None:
    listener = Listener()
    engine = Engine(Settings(), listener, Clock())
    engine.check_alive()
    for check in (engine.check_ready, lambda: engine.admit().__enter__()):
        with pytest.raises(NotReadyError, match="being loaded") as caught:
            check()
        assert caught.value.retry_after > 0
    assert (listener.reasons, listener.readiness) == (["not_ready"], [])


def test_the_end_finishes_what_is_accepted_and_refuses_the_rest(gate: Gate) -> None:
    bench = Bench(gate)

    def caption(shade: int) -> str:
        with bench.engine.admit():
            inside.release()
            return text(bench.submit(shade))

    inside = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as threads:
        accepted = [threads.submit(caption, shade) for shade in range(6)]
        for _ in accepted:
            assert inside.acquire(timeout=PATIENCE)
        end = threads.submit(bench.engine.drain, PATIENCE)
        assert bench.listener.has_ended.wait(PATIENCE)
        for refuse in (bench.engine.check_ready, lambda: bench.engine.admit().__enter__()):
            with pytest.raises(DrainingError, match="about to stop"):
                refuse()
        gate.opened.set()
        assert [future.result(PATIENCE) for future in accepted] == [f"a photo of red {shade}" for shade in range(6)]
        assert end.result(PATIENCE)
    assert bench.listener.readiness == [True, False]
    assert bench.listener.reasons == ["draining"]
    with pytest.raises(DrainingError):
        bench.submit(7)
    bench.engine.check_alive()  # the thread has ended as it should


def test_the_end_does_not_wait_for_ever(gate: Gate) -> None:
    bench = Bench(gate)
    with bench.engine.admit():
        bench.submit(0)
        gate.wait_until_entered()
        assert not bench.engine.drain(0)


def test_a_stuck_thread_is_told(gate: Gate) -> None:
    bench = Bench(gate, stuck_seconds=60)
    bench.submit(0)
    gate.wait_until_entered()
    bench.clock.now += 60
    assert bench.engine.check_ready()
    bench.clock.now += 1
    for check in (bench.engine.check_alive, bench.engine.check_ready):
        with pytest.raises(StuckError, match="61 seconds; at most 60"):
            check()
    gate.opened.set()
    bench.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_told() -> None:
    gate = Poisonous(is_open=True)
    bench = Bench(gate)
    bench.submit(200)
    assert bench.engine._thread.join(PATIENCE)
    with pytest.raises(StuckError, match="has ended"):
        bench.engine.check_alive()


def test_calls_run_in_the_thread_of_the_model() -> None:
    bench = Bench(FakePredictor())
    assert bench.engine.call(threading.current_thread).name == "inference"
    with pytest.raises(ZeroDivisionError):
        bench.engine.call(lambda: 1 // 0)


def test_an_engine_that_nobody_uses_ends_its_thread() -> None:
    thread = (bench := Bench(FakePredictor())).engine._thread
    del bench
    gc.collect()
    assert thread.join(PATIENCE)


ARRIVALS = st.lists(
    st.tuples(st.sampled_from(TASKS), st.sampled_from(["wait", "cancel", "expire", "poison"]), st.booleans()),
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(ARRIVALS, st.integers(1, 5))
def test_everyone_gets_an_answer_of_their_own_exactly_once(
    arrivals: list[tuple[Task, str, bool]], max_batch: int
) -> None:
    """In whatever order photos come, with whatever task, while some give up, come too late, or are poisonous."""
    gate = Poisonous(is_open=True)
    bench = Bench(gate, max_batch=max_batch)
    jobs = []
    for number, (task, fate, pause) in enumerate(arrivals):
        shade = 13 if fate == "poison" else 20 + number
        job = bench.submit(shade, task, patience=-1 if fate == "expire" else 10)
        if fate == "cancel":
            bench.engine.cancel(job)
        if pause:
            bench.engine.call(lambda: None)
        jobs.append((job, task, fate, shade))
    bench.engine._queue.close()
    assert bench.engine._thread.join(PATIENCE)
    for job, task, fate, shade in jobs:
        assert job.answer.done()
        check_fate(job, task, fate, shade)
    assert set(map(len, gate.batches)) <= set(batch_sizes(max_batch))
    expired = {shade for _, _, fate, shade in jobs if fate == "expire"}
    assert not expired & {shade for batch in gate.batches for shade in batch}


def check_fate(job: Job, task: Task, fate: str, shade: int) -> None:
    if fate == "expire":
        assert isinstance(job.answer.exception(), DeadlinePassedError)
    elif fate == "poison" and isinstance(task, Captioning):
        assert isinstance(job.answer.exception(), ValueError)
    elif not job.answer.cancelled():  # who cancelled too late is answered
        assert text(job) == (f"red {shade}" if isinstance(task, Scoring) else f"a photo of red {shade}")
    else:
        assert fate == "cancel"

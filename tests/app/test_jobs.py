from __future__ import annotations

import threading

from rpnviz.app.jobs import JobQueue, NewestWins


def test_answers_arrive_in_the_owners_thread(jobs, qtbot):
    got = []
    jobs.submit(
        "work",
        lambda job: threading.current_thread().name,
        lambda v: got.append((v, threading.current_thread())),
        got.append,
    )
    qtbot.waitUntil(lambda: bool(got), timeout=3000)
    assert got[0][0].startswith("rpnviz-job")
    assert got[0][1] is threading.main_thread()
    assert jobs.running == ()


def test_a_failure_is_reported(jobs, qtbot):
    failed = []

    def work(job):
        raise ValueError("no")

    jobs.submit("work", work, failed.append, lambda error: failed.append(str(error)))
    qtbot.waitUntil(lambda: failed == ["no"], timeout=3000)


def test_a_job_that_reports_without_end_leaves_the_gui_thread_its_time(jobs, qtbot):
    reports, answers = [], []
    jobs.progressed.connect(lambda _job, fraction: reports.append(fraction))

    def work(job):
        for number in range(20_001):
            job.progress(number / 20_000)

    jobs.submit("work", work, answers.append, answers.append)
    qtbot.waitUntil(lambda: answers == [None], timeout=10000)
    assert reports[0] == 0
    assert reports[-1] == 1
    assert len(reports) < 1000


def test_a_cancelled_job_ends_at_its_next_report_and_says_nothing(jobs, qtbot):
    started, answers = threading.Event(), []

    def work(job):
        started.set()
        while True:
            job.progress(0.5)

    job = jobs.submit("work", work, answers.append, answers.append)
    assert started.wait(3)
    job.cancel()
    with qtbot.waitSignal(jobs.ended, timeout=3000):
        pass
    assert answers == []


def test_closing_ends_running_work(qtbot):
    jobs, started = JobQueue(), threading.Event()

    def work(job):
        started.set()
        while True:
            job.progress(0)

    jobs.submit("work", work, print, print)
    assert started.wait(3)
    jobs.close()


def test_the_newest_request_wins(qtbot):
    gate, seen, answers = threading.Event(), [], []

    def work(argument):
        seen.append(argument)
        gate.wait(3)
        return argument

    worker = NewestWins(work)
    worker.answered.connect(answers.append)
    for number in range(40):
        worker.request(number)
    gate.set()
    qtbot.waitUntil(lambda: answers == [39], timeout=3000)
    assert seen == [0, 39]
    assert not worker.busy
    worker.close()


def test_a_failed_request_is_told(qtbot):
    worker = NewestWins(lambda argument: 1 / argument)
    with qtbot.waitSignal(worker.failed, timeout=3000) as caught:
        worker.request(0)
    assert isinstance(caught.args[0], ZeroDivisionError)
    worker.close()

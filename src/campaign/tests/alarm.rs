//! The alarm runs any table of steps.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    NOON,
    database::{Database, defined},
    faults::{When, pause, run},
    host::FakeHost,
};
use crate::{
    campaign::log::{
        alarm::{self, AlarmStep},
        due::Task,
        state::LaunchLog,
    },
    limits::{ALARM_GUARD_MS, UNKNOWN_TASK_PAUSE_MS},
    problem::Cause,
    storage::sql::StorageError,
};

const PAUSE: u64 = 7_000;

/// How a step behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Succeed,
    Fail,
    FailInStorage,
    Hang,
}

/// Steps that record when they run.
struct AlarmFixture {
    log: Rc<LaunchLog<Database>>,
    host: Rc<FakeHost>,
    behaviours: Rc<RefCell<Vec<(&'static str, Behaviour)>>>,
    runs: Rc<RefCell<Vec<(&'static str, u64)>>>,
    /// The number of steps that are running.
    running: Rc<Cell<usize>>,
    steps: Rc<[AlarmStep<Database>]>,
}

impl AlarmFixture {
    /// `steps` are names with their services.
    fn new(steps: &[(&'static str, &'static str)]) -> Self {
        let (host, behaviours, runs) = (FakeHost::new(), Rc::default(), Rc::default());
        let running = Rc::new(Cell::new(0));
        let step = |(name, service): &(&'static str, &'static str)| {
            step(name, service, Rc::clone(&behaviours), Rc::clone(&runs), Rc::clone(&running))
        };
        let steps = steps.iter().map(step).collect();
        Self { log: Rc::new(defined()), host, behaviours, runs, running, steps }
    }

    fn due(&self, name: &'static str, at: u64) {
        self.log.due().set(Task::new(name), 0, at).unwrap();
    }

    fn behave(&self, name: &'static str, behaviour: Behaviour) {
        self.behaviours.borrow_mut().push((name, behaviour));
    }

    fn ring(&self, now: u64) {
        self.host.ring(&self.log, &self.steps, now).unwrap();
    }

    fn next_alarm(&self) -> Option<u64> {
        self.host.next_alarm(&self.log)
    }

    fn take_runs(&self) -> Vec<(&'static str, u64)> {
        self.runs.take()
    }
}

fn step(
    name: &'static str,
    service: &'static str,
    behaviours: Rc<RefCell<Vec<(&'static str, Behaviour)>>>,
    runs: Rc<RefCell<Vec<(&'static str, u64)>>>,
    running: Rc<Cell<usize>>,
) -> AlarmStep<Database> {
    let run = move |log: Rc<LaunchLog<Database>>, now| {
        runs.borrow_mut().push((name, now));
        let behaviour = behaviours.borrow().iter().rev().find(|(of, _)| *of == name).map(|(_, behaviour)| *behaviour);
        let running = Rc::clone(&running);
        let future: futures_util::future::LocalBoxFuture<'static, _> = Box::pin(async move {
            running.set(running.get() + 1);
            pause().await;
            if behaviour == Some(Behaviour::Hang) {
                std::future::pending::<()>().await;
            }
            running.set(running.get() - 1);
            match behaviour {
                Some(Behaviour::Fail) => Ok(vec![Cause::new("the service is down")]),
                Some(Behaviour::FailInStorage) => Err(StorageError::from(Cause::new("the disk is gone"))),
                _ => {
                    log.due().remove(Task::new(name), 0)?;
                    Ok(Vec::new())
                }
            }
        });
        future
    };
    AlarmStep {
        task: Task::new(name),
        service,
        pause_after_failure: PAUSE,
        failure: "repeated later",
        run: Box::new(run),
    }
}

#[test]
fn only_due_steps_run_and_the_alarm_is_set_to_the_next_due_time() {
    let fixture = AlarmFixture::new(&[("a", "A"), ("b", "B")]);
    fixture.due("a", NOON + 100);
    assert_eq!(fixture.next_alarm(), Some(NOON + 100));
    fixture.due("b", NOON + 300);
    assert_eq!(fixture.next_alarm(), Some(NOON + 100), "the alarm comes early enough");
    fixture.ring(NOON + 100);
    assert_eq!(fixture.take_runs(), [("a", NOON + 100)]);
    assert_eq!(fixture.next_alarm(), Some(NOON + 300));
    fixture.ring(NOON + 300);
    assert_eq!(fixture.take_runs(), [("b", NOON + 300)]);
    assert_eq!(fixture.next_alarm(), None, "nothing is due");
    fixture.ring(NOON + 400);
    assert_eq!(fixture.take_runs(), []);
}

#[test]
fn the_next_alarm_is_set_before_a_step_runs() {
    let fixture = AlarmFixture::new(&[("a", "A"), ("b", "B")]);
    fixture.due("a", NOON);
    fixture.due("b", NOON + 10 * ALARM_GUARD_MS);
    fixture.host.set_now(NOON);
    run(alarm::ring(&fixture.log, &fixture.host, &fixture.steps)).unwrap();
    assert_eq!(fixture.take_runs(), [], "the step has not begun");
    assert_eq!(fixture.host.alarm.get(), Some(NOON + ALARM_GUARD_MS), "in case the object ends now");
    fixture.host.run_spawned();
    assert_eq!(fixture.take_runs(), [("a", NOON)]);
    assert_eq!(fixture.host.alarm.get(), Some(NOON + 10 * ALARM_GUARD_MS));
}

#[test]
fn the_next_alarm_is_earlier_than_the_guard_if_another_step_is_due_earlier() {
    let fixture = AlarmFixture::new(&[("a", "A"), ("b", "B")]);
    fixture.due("a", NOON);
    fixture.due("b", NOON + 5);
    fixture.behave("a", Behaviour::Hang);
    fixture.ring(NOON);
    assert_eq!(fixture.host.alarm.get(), Some(NOON + 5));
}

#[test]
fn a_step_does_not_run_if_the_next_alarm_cannot_be_set() {
    let fixture = AlarmFixture::new(&[("a", "A")]);
    fixture.due("a", NOON);
    fixture.host.faults.plan("alarm", 1, When::Before);
    let error = fixture.host.ring(&fixture.log, &fixture.steps, NOON).unwrap_err();
    assert_eq!(error.to_string(), "the storage is gone");
    fixture.host.run_spawned();
    assert_eq!(fixture.take_runs(), []);
    fixture.ring(NOON + 1);
    assert_eq!(fixture.take_runs(), [("a", NOON + 1)], "when the platform repeats the alarm");
}

#[test]
fn a_step_that_hangs_does_not_delay_steps_of_other_services() {
    let fixture = AlarmFixture::new(&[("a", "A"), ("b", "B")]);
    fixture.behave("a", Behaviour::Hang);
    fixture.due("a", NOON);
    fixture.due("b", NOON);
    fixture.ring(NOON);
    assert_eq!(fixture.take_runs(), [("a", NOON), ("b", NOON)]);
    fixture.due("b", NOON + 10);
    fixture.host.next_alarm(&fixture.log);
    assert_eq!(fixture.host.alarm.get(), Some(NOON + 10));
    fixture.ring(NOON + 10);
    assert_eq!(fixture.take_runs(), [("b", NOON + 10)]);
}

#[test]
fn a_step_that_hangs_is_not_started_again_in_the_same_instance() {
    let fixture = AlarmFixture::new(&[("a", "A")]);
    fixture.behave("a", Behaviour::Hang);
    fixture.due("a", NOON);
    fixture.ring(NOON);
    for guard in 1..4 {
        assert_eq!(fixture.host.alarm.get(), Some(NOON + guard * ALARM_GUARD_MS));
        fixture.ring(NOON + guard * ALARM_GUARD_MS);
    }
    assert_eq!(fixture.take_runs(), [("a", NOON)]);
}

#[test]
fn an_object_that_ends_while_a_step_runs_runs_the_step_again() {
    let fixture = AlarmFixture::new(&[("a", "A")]);
    fixture.behave("a", Behaviour::Hang);
    fixture.due("a", NOON);
    fixture.ring(NOON);
    fixture.take_runs();
    fixture.host.end();
    let AlarmFixture { log, host, steps, behaviours, runs, .. } = fixture;
    let database = Rc::into_inner(log).unwrap().sql;
    let log = Rc::new(LaunchLog::new(database, super::database::limits()));
    behaviours.borrow_mut().clear();
    let at = host.alarm.get().unwrap();
    host.ring(&log, &steps, at).unwrap();
    assert_eq!(runs.take(), [("a", NOON + ALARM_GUARD_MS)]);
    assert_eq!(log.sql.due(), Vec::<String>::new());
}

#[test]
fn steps_of_one_service_run_one_after_the_other_in_the_order_of_the_table() {
    let fixture = AlarmFixture::new(&[("z", "A"), ("a", "A"), ("b", "B")]);
    for name in ["a", "b", "z"] {
        fixture.due(name, NOON);
    }
    fixture.host.set_now(NOON);
    run(alarm::ring(&fixture.log, &fixture.host, &fixture.steps)).unwrap();
    let mut most = 0;
    while fixture.host.poll_spawned() {
        most = most.max(fixture.running.get());
    }
    assert_eq!(most, 2, "one of each service");
    let runs: Vec<_> = fixture.take_runs().into_iter().filter(|(name, _)| *name != "b").collect();
    assert_eq!(runs, [("z", NOON), ("a", NOON)]);
}

#[test]
fn all_steps_of_a_service_pause_after_a_failure_and_others_do_not() {
    for behaviour in [Behaviour::Fail, Behaviour::FailInStorage] {
        let fixture = AlarmFixture::new(&[("a", "A"), ("also a", "A"), ("b", "B")]);
        fixture.behave("a", behaviour);
        fixture.due("a", NOON);
        fixture.due("also a", NOON + 1);
        fixture.due("b", NOON + 2);
        fixture.ring(NOON);
        assert_eq!(fixture.host.take_failures().len(), 1);
        assert_eq!(fixture.host.alarm.get(), Some(NOON + 2));
        fixture.ring(NOON + 2);
        assert_eq!(fixture.take_runs(), [("a", NOON), ("b", NOON + 2)]);
        assert_eq!(fixture.host.alarm.get(), Some(NOON + PAUSE));
        fixture.behave("a", Behaviour::Succeed);
        fixture.ring(NOON + PAUSE);
        assert_eq!(fixture.take_runs(), [("a", NOON + PAUSE), ("also a", NOON + PAUSE)]);
        assert_eq!(fixture.host.alarm.get(), None);
    }
}

#[test]
fn a_failure_is_reported_with_the_text_of_its_step() {
    let fixture = AlarmFixture::new(&[("a", "A"), ("b", "B")]);
    fixture.behave("a", Behaviour::Fail);
    fixture.behave("b", Behaviour::FailInStorage);
    fixture.due("a", NOON);
    fixture.due("b", NOON);
    fixture.ring(NOON);
    let failures = fixture.host.take_failures();
    let failures: Vec<_> = failures.iter().map(|(failure, cause)| (failure.as_str(), cause.as_str())).collect();
    assert_eq!(
        failures,
        [("repeated later", "the service is down"), ("repeated later", "the database failed: the disk is gone")]
    );
}

#[test]
fn work_of_an_unknown_step_is_reported_and_does_not_repeat_the_alarm() {
    let fixture = AlarmFixture::new(&[("a", "A")]);
    fixture.due("a", NOON);
    fixture.due("later", NOON);
    fixture.ring(NOON);
    let failures = fixture.host.take_failures();
    let text = "the alarm has work that this release does not know";
    assert_eq!(failures, [(text.to_owned(), "task later".to_owned())]);
    assert_eq!(fixture.take_runs(), [("a", NOON)]);
    assert_eq!(fixture.host.alarm.get(), Some(NOON + UNKNOWN_TASK_PAUSE_MS));
    assert_eq!(fixture.log.sql.due(), [format!("due 'later' 0 {NOON}")], "a later release finds it");
}

#[test]
fn an_alarm_that_could_not_be_set_is_set_with_the_next_request() {
    let fixture = AlarmFixture::new(&[("a", "A")]);
    fixture.due("a", NOON + 5);
    fixture.host.faults.plan("alarm", 1, When::Before);
    assert!(run(alarm::set_alarm(&fixture.log, &*fixture.host)).is_err());
    assert_eq!(fixture.next_alarm(), Some(NOON + 5));
}

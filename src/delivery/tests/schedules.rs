//! Seeded schedules of a whole object: commits, operators' commands, alarms, failing receivers, failing storage and crashes.
//! `DELIVERY_SCHEDULES` is the number of schedules (default 60). A failure names the seed.
//!
//! One poll of the object is one turn of the runtime, which makes all writes of a turn durable together, and sends requests after
//! that. So the object ends between two turns, and any of the requests of the last turn may not have reached the receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use serde_json::Value;

use super::{URL, definition, undefined_campaign, unlimited};
use crate::{
    campaign::{
        ports::Host as _,
        protocol::{
            commands::Command,
            transport::{COMMAND_PATH, COMMIT_PATH},
            webhook::{Ordering, RecipientsMode, WebhookCommand, WebhookDefinition},
        },
        tests::{
            Sample,
            database::DAY,
            faults::Dice,
            host::{Behavior, Received, TestObject},
        },
    },
    delivery::{
        config::WebhookConfig,
        schedule::longest_delay,
        signature::signature_header,
        state::{DeliveryState, PageNumber},
    },
    limits::{ALARM_GUARD_MS, DELIVERY_LAUNCHES_AT_ONCE, SECRET_OVERLAP_MS},
    storage::sql::Sql as _,
};

const STEPS: u64 = 40;
/// The number of polls without any effect after which the object waits for the clock or the receiver.
const QUIET_POLLS: u32 = 3;

/// A campaign with a webhook, and what its receiver has seen.
struct Schedule {
    seed: u64,
    dice: Dice,
    object: TestObject,
    ordering: Ordering,
    /// The last launch before the webhook was created.
    start: u64,
    launched: u64,
    /// The content of every message, by its ID.
    bodies: BTreeMap<String, String>,
    /// The number of pages of every launch that was sent.
    pages: BTreeMap<u64, u64>,
    sent: BTreeSet<PageNumber>,
    /// Pages that the receiver has accepted, or an operator has skipped.
    done: BTreeSet<PageNumber>,
    /// Pages that the receiver accepts at a later time, and that time.
    accepting: Vec<(u64, PageNumber)>,
    /// Whether the stored state says that the delivery has stopped.
    is_stopped: bool,
    /// Whether the command in progress may continue a delivery that has stopped.
    may_continue: bool,
    /// The launches that retention had removed at the end of the last turn.
    removed: u64,
    /// The number of messages that were sent.
    messages: usize,
    /// By how much the clock was set back, in milliseconds.
    set_back: u64,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let ordering = if dice.below(2) == 0 { Ordering::Strict } else { Ordering::Relaxed };
        let object = undefined_campaign();
        object.send(&unlimited(&Command::Define(definition())));
        let mut schedule = Self {
            seed,
            dice,
            object,
            ordering,
            start: 0,
            launched: 0,
            bodies: BTreeMap::new(),
            pages: BTreeMap::new(),
            sent: BTreeSet::new(),
            done: BTreeSet::new(),
            accepting: Vec::new(),
            is_stopped: false,
            may_continue: false,
            removed: 0,
            messages: 0,
            set_back: 0,
        };
        schedule.create();
        schedule
    }

    fn once_in(&self, times: u64) -> bool {
        self.dice.below(times) == 0
    }

    /// Reads from the database, even while it fails.
    fn number(&self, statement: &str) -> u64 {
        let statements = self.object.database.statements.replace(u64::MAX);
        let number =
            self.object.database.exec(statement, &[]).unwrap().pop().map_or(0, |mut row| row.number().unwrap());
        self.object.database.statements.set(statements);
        number
    }

    fn removed(&self) -> u64 {
        self.number("SELECT removed FROM campaign")
    }

    fn last(&self) -> u64 {
        self.number("SELECT coalesce(max(sequence), 0) FROM launches").max(self.removed())
    }

    /// The stored webhook.
    fn stored(&self) -> Option<(WebhookConfig, DeliveryState)> {
        let statements = self.object.database.statements.replace(u64::MAX);
        let row = self.object.database.exec("SELECT config, state FROM webhook", &[]).unwrap().pop();
        self.object.database.statements.set(statements);
        row.map(|mut row| {
            let (config, state) = (row.text().unwrap(), row.text().unwrap());
            (serde_json::from_str(&config).unwrap(), serde_json::from_str(&state).unwrap())
        })
    }

    /// Whether all pages of the launches up to `sequence` are delivered, as far as they have to be.
    fn is_done_through(&self, sequence: u64) -> bool {
        let first = self.start.max(self.removed()) + 1;
        (first..=sequence).all(|launch| self.is_done(launch))
    }

    fn is_done(&self, sequence: u64) -> bool {
        let pages = self.pages.get(&sequence);
        pages.is_some_and(|pages| (1..=*pages).all(|page| self.done.contains(&PageNumber { sequence, page })))
    }

    /// A number that rises with every effect of the object.
    fn progress(&self) -> (usize, u64, usize) {
        let host = &self.object.host;
        (self.messages, self.object.database.writes.get(), host.alarm_calls.borrow().len())
    }

    /// Polls a future and the background work of the object until nothing happens any more. Returns `None` if the object ended
    /// first, or if the future waits for the clock.
    fn drive<T>(&mut self, future: impl Future<Output = T>, may_crash: bool) -> Option<T> {
        let last_poll = (may_crash && self.once_in(8)).then(|| self.dice.below(8));
        self.plan();
        let mut context = Context::from_waker(Waker::noop());
        let mut output = None;
        {
            let mut future = pin!(future);
            let mut quiet = 0;
            for poll in 0.. {
                assert!(poll < 5_000, "seed {}: the object is always busy", self.seed);
                let before = self.progress();
                let was_stopped = self.is_stopped;
                if output.is_none()
                    && let Poll::Ready(value) = future.as_mut().poll(&mut context)
                {
                    output = Some(value);
                }
                self.object.host.poll_spawned();
                let is_last = last_poll == Some(poll);
                self.receive(was_stopped, is_last);
                if is_last {
                    break;
                }
                quiet = if self.progress() == before { quiet + 1 } else { 0 };
                if quiet == QUIET_POLLS {
                    return output;
                }
            }
        }
        // The receiver goes on with what it has received.
        self.done.extend(self.accepting.drain(..).map(|(_, page)| page));
        self.object.replace();
        None
    }

    /// Plans the next answers of the receiver.
    fn plan(&self) {
        let mut plan = self.object.host.receiver.plan.borrow_mut();
        while plan.len() < 30 {
            plan.push_back(match self.dice.below(24) {
                0 => Behavior::Fail,
                1 => Behavior::LoseAnswer,
                2 => Behavior::Hang,
                3 => Behavior::Status(302, None, 0),
                4 => Behavior::Status(429, Some("120"), 0),
                5 => Behavior::Status(500, None, self.dice.below(10_000)),
                6 => Behavior::Status(503, Some("Mon, 23 Nov 2026 19:00:00 GMT"), 0),
                7 if self.once_in(3) => Behavior::Status(410, None, 0),
                8..=11 => Behavior::Status(200, None, self.dice.below(20_000)),
                _ => Behavior::Status(204, None, 0),
            });
        }
    }

    /// Checks the messages that were sent in the last turn.
    fn receive(&mut self, was_stopped: bool, is_crash: bool) {
        let now = self.object.host.now();
        let (accepted, accepting): (Vec<_>, Vec<_>) = self.accepting.drain(..).partition(|(at, _)| *at <= now);
        self.accepting = accepting;
        self.done.extend(accepted.into_iter().map(|(_, page)| page));
        let messages: Vec<Received> = self.object.host.receiver.received.borrow_mut().drain(..).collect();
        let stored = self.stored();
        self.is_stopped = stored.as_ref().is_some_and(|(_, state)| state.is_stopped());
        self.messages += messages.len();
        for message in messages {
            let body: Value = serde_json::from_str(&message.body).unwrap();
            if body["type"] == "webhook.test" {
                continue;
            }
            let seed = self.seed;
            let (config, _) = stored.as_ref().expect("a message after the webhook was removed");
            assert!(config.active, "seed {seed}: sent while the webhook is paused");
            let has_stopped = was_stopped && self.is_stopped && !self.may_continue;
            assert!(!has_stopped, "seed {seed}: sent after the delivery has stopped");
            self.check_message(&message, &body, config);
            let page = PageNumber {
                sequence: body["data"]["launch"]["sequence"].as_u64().unwrap(),
                page: body["data"]["page"].as_u64().unwrap(),
            };
            self.pages.insert(page.sequence, body["data"]["pages"].as_u64().unwrap());
            if self.sent.insert(page) {
                self.check_order(page);
            }
            // A request that was sent in the last turn may be lost.
            if is_crash && self.once_in(2) {
                continue;
            }
            match message.behavior {
                Behavior::Status(200..=299, _, after) if after > 0 => self.accepting.push((message.at + after, page)),
                Behavior::Status(200..=299, ..) | Behavior::LoseAnswer => drop(self.done.insert(page)),
                _ => {}
            }
        }
        self.removed = self.removed();
    }

    fn check_message(&mut self, message: &Received, body: &Value, config: &WebhookConfig) {
        let seed = self.seed;
        let id = message.header("webhook-id").to_owned();
        let data = &body["data"];
        assert_eq!(id, format!("{}_{}", data["launch"]["launch_id"].as_str().unwrap(), data["page"]), "seed {seed}");
        let timestamp = message.at / 1000;
        assert_eq!(message.header("webhook-timestamp"), timestamp.to_string(), "seed {seed}");
        let secrets = config.secrets(message.at);
        let signature = signature_header(&secrets, &id, timestamp, message.body.as_bytes());
        assert_eq!(message.header("webhook-signature"), signature, "seed {seed}");
        assert_eq!(message.url, config.url, "seed {seed}");
        let first = self.bodies.entry(id.clone()).or_insert_with(|| message.body.clone());
        assert_eq!(*first, message.body, "seed {seed}: message {id} was repeated with another content");
    }

    /// The page was sent for the first time.
    fn check_order(&self, page: PageNumber) {
        let (seed, sequence) = (self.seed, page.sequence);
        let first = self.start.max(self.removed()) + 1;
        assert!(sequence > self.start.max(self.removed), "seed {seed}: {page:?} is older than the webhook");
        let earlier = |distance: u64| self.is_done_through(sequence.saturating_sub(distance));
        match self.ordering {
            Ordering::Strict => assert!(earlier(1), "seed {seed}: {page:?} before the end of an earlier launch"),
            Ordering::Relaxed => {
                assert!(earlier(DELIVERY_LAUNCHES_AT_ONCE), "seed {seed}: {page:?} is too early");
                let begun = |launch| self.sent.contains(&PageNumber { sequence: launch, page: 1 });
                assert!((first..sequence).all(begun), "seed {seed}: {page:?} before an earlier launch");
            }
        }
        let before = PageNumber { page: page.page.saturating_sub(1), ..page };
        assert!(page.page == 1 || self.sent.contains(&before), "seed {seed}: {page:?} before an earlier page");
    }

    /// While a launch is not delivered and may be sent, the alarm is set.
    fn check_alarm(&self) {
        let Some((config, state)) = self.stored() else { return };
        if !config.active || state.is_stopped() || self.is_done_through(self.last()) {
            return;
        }
        let (now, alarm) = (self.object.host.now(), self.object.host.alarm.get());
        // A clock that was set back moves the alarm away.
        let latest = now + longest_delay(11).max(ALARM_GUARD_MS) + self.set_back;
        assert!(alarm.is_some_and(|at| at <= latest), "seed {}: the alarm is at {alarm:?}, now {now}", self.seed);
    }

    fn command(&mut self, command: WebhookCommand, may_crash: bool) -> bool {
        self.may_continue = matches!(command, WebhookCommand::Resume | WebhookCommand::Replay(_));
        let body = serde_json::to_vec(&unlimited(&Command::Webhook(command))).unwrap();
        let future = self.object.fetch(COMMAND_PATH, None, body);
        let is_done = self.drive(future, may_crash).is_some_and(|response| response.status == 200);
        self.may_continue = false;
        is_done
    }

    fn change(&mut self, definition: WebhookDefinition) {
        self.command(WebhookCommand::Define(definition), true);
    }

    fn create(&mut self) {
        self.start = self.last();
        let (url, ordering) = (Some(URL.to_owned()), Some(self.ordering));
        let definition = WebhookDefinition { url, ordering, ..WebhookDefinition::default() };
        assert!(self.command(WebhookCommand::Define(definition), false));
    }

    fn launch(&mut self) {
        let recipients = match self.dice.below(20) {
            0 => 2_500,
            1..=3 => 1_001,
            few => u32::try_from(few % 3).unwrap(),
        };
        self.launched += 1;
        let request_id = format!("request {}", self.launched);
        let sample = Sample {
            now: self.object.host.now(),
            random: self.launched,
            content: self.once_in(3).then(|| format!("{{\"launch\":{}}}", self.launched)),
            ..Sample::with_recipients(&request_id, recipients)
        };
        let message = sample.message();
        let length = Some(message.len().to_string());
        let future = self.object.fetch(COMMIT_PATH, length, message);
        self.drive(future, true);
    }

    /// Skips the page that blocks the delivery, and finds out which it was.
    fn skip(&mut self) {
        // Writes the state. The second time nothing else happens any more.
        for _ in 0..2 {
            self.command(WebhookCommand::Define(WebhookDefinition::default()), false);
        }
        let before = self.stored().map(|(_, state)| state.failed_pages()).unwrap_or_default();
        self.done.extend(before.first());
        let is_skipped = self.command(WebhookCommand::Skip, false);
        assert_eq!(is_skipped, !before.is_empty(), "seed {}", self.seed);
    }

    /// Lets time pass. The alarm comes when it is due, if it comes at all.
    fn wait(&mut self, milliseconds: u64) {
        let end = self.object.host.now() + milliseconds;
        for alarms in 0.. {
            assert!(alarms < 2_000, "seed {}: the alarm comes again and again", self.seed);
            let Some(at) = self.object.host.alarm.get().filter(|at| *at <= end) else { break };
            self.object.host.set_now(self.object.host.now().max(at));
            self.ring();
        }
        self.object.host.set_now(end);
        self.drive(async {}, true);
    }

    fn ring(&mut self) {
        self.object.host.alarm.set(None);
        let object = Rc::clone(&self.object.object);
        let rung = self.drive(async move { object.alarm().await.is_ok() }, true);
        if rung != Some(true) && self.object.host.alarm.get().is_none() {
            // The platform repeats an alarm that has failed.
            self.object.host.alarm.set(Some(self.object.host.now() + 2_000));
        }
    }

    fn step(&mut self) {
        self.object.host.random.set(u8::try_from(self.dice.below(256)).unwrap());
        match self.dice.below(30) {
            0..=8 => self.launch(),
            9 => {
                let active = self.stored().is_some_and(|(config, _)| !config.active);
                self.change(WebhookDefinition { active: Some(active), ..WebhookDefinition::default() });
            }
            10 => {
                let mode = if self.once_in(2) { RecipientsMode::Inline } else { RecipientsMode::None };
                self.change(WebhookDefinition { recipients: Some(mode), ..WebhookDefinition::default() });
            }
            11 => {
                let url = format!("https://{}.example/", self.dice.below(5));
                self.change(WebhookDefinition { url: Some(url), ..WebhookDefinition::default() });
            }
            12 | 13 => drop(self.command(WebhookCommand::Resume, true)),
            14 => {
                let (removed, start) = (self.removed(), self.start);
                let first = removed.max(start);
                let after = first + self.dice.below(self.last() - first + 1);
                self.command(WebhookCommand::Replay(after), true);
            }
            15 => self.skip(),
            16 => drop(self.command(WebhookCommand::Rotate, true)),
            17 if self.once_in(4) => {
                if self.command(WebhookCommand::Remove, false) {
                    self.accepting.clear();
                    self.create();
                }
            }
            18 => drop(self.command(WebhookCommand::Test, true)),
            19 => {
                let back = self.dice.below(DAY);
                self.set_back += back;
                self.object.host.set_now(self.object.host.now() - back);
                self.drive(async {}, true);
            }
            20 => {
                // The clock jumps, and the alarm comes late.
                let now = self.object.host.now() + self.dice.below(DAY);
                self.object.host.set_now(now);
                self.drive(async {}, true);
            }
            21 if self.once_in(5) => self.wait(4 * DAY),
            22 => {
                // The storage fails, and the platform starts the object again.
                self.object.database.statements.set(self.dice.below(12));
                if self.once_in(2) {
                    self.ring()
                } else {
                    self.launch()
                }
                self.object.database.statements.set(u64::MAX);
                self.object.replace();
                self.done.extend(self.accepting.drain(..).map(|(_, page)| page));
                self.object.send(&unlimited(&Command::Read));
                self.drive(async {}, false);
            }
            23 => self.wait(self.dice.below(SECRET_OVERLAP_MS)),
            24..=26 => self.wait(self.dice.below(120_000)),
            _ => self.wait(self.dice.below(16_000)),
        }
        self.check_alarm();
    }

    /// Everything arrives once the receiver and the storage work.
    fn finish(&mut self) {
        *self.object.host.receiver.plan.borrow_mut() = vec![Behavior::Status(204, None, 0); 2_000].into();
        let active = WebhookDefinition { active: Some(true), ..WebhookDefinition::default() };
        assert!(self.command(WebhookCommand::Define(active), false));
        assert!(self.command(WebhookCommand::Resume, false));
        for _ in 0..1_000 {
            if self.is_idle() {
                break;
            }
            let alarm = self.object.host.alarm.get().expect("the alarm is set");
            self.object.host.set_now(self.object.host.now().max(alarm));
            self.object.host.alarm.set(None);
            let object = Rc::clone(&self.object.object);
            assert_eq!(self.drive(async move { object.alarm().await.is_ok() }, false), Some(true));
        }
        assert!(self.is_idle(), "seed {}: {:?}", self.seed, self.stored().map(|(_, state)| state));
        self.receive(false, false);
        let lost = (self.start + 1..=self.last()).filter(|sequence| !self.is_done(*sequence)).count();
        let (_, state) = self.stored().unwrap();
        assert!(lost as u64 <= state.expired(), "seed {}: {lost} lost, {} expired", self.seed, state.expired());
        assert!(self.is_done_through(self.last()), "seed {}: a launch of the log is lost", self.seed);
    }

    fn is_idle(&mut self) -> bool {
        let body = serde_json::to_vec(&unlimited(&Command::Webhook(WebhookCommand::Read))).unwrap();
        let future = self.object.fetch(COMMAND_PATH, None, body);
        let response = self.drive(future, false).unwrap();
        let reply: Value = serde_json::from_str(response.text()).unwrap();
        reply["state"]["status"] == "idle"
    }
}

#[test]
fn schedules_lose_nothing_keep_the_order_and_repeat_the_same_messages() {
    let count = std::env::var("DELIVERY_SCHEDULES").map_or(60, |count| count.parse().unwrap());
    let first = std::env::var("DELIVERY_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + count {
        let mut schedule = Schedule::new(seed);
        for _ in 0..STEPS {
            schedule.step();
        }
        schedule.finish();
    }
}

//! The report of one run: what an engineer sees first. Histories are built by hand; each picture is pinned.

use std::collections::BTreeMap;

use unstale_harness::history::{
    By, ConnectionId, Event, Failure, FailureClass, History, Leftovers, Outcome, Reply, What,
};
use unstale_harness::oracle::{Invariant, Violation};
use unstale_harness::plan::{Actor, ActorId, Fault, Key, Phase, Plan, Schedule, Step, Storage, Tasks, Value};
use unstale_harness::report::{Report, Section, html, timeline};

const C1: ConnectionId = ConnectionId(1);
const C2: ConnectionId = ConnectionId(2);

/// A history under construction, with the steps of everybody who acts in it.
struct Tale {
    plan: Plan,
    observers: Vec<Actor>,
    history: History,
}

impl Tale {
    fn of(connections: u8, actors: &[&[&str]]) -> Self {
        let actors: Vec<_> = actors.iter().map(|it| actor(it)).collect();
        let schedule = Schedule::serial(&actors);
        let history = History { planned: actors.len(), ..History::default() };
        Self {
            plan: Plan { storage: Storage::Wal, connections, fixture: false, tasks: Tasks::Prompt, actors, schedule },
            observers: Vec::new(),
            history,
        }
    }

    /// Appends an event of a command, named as in `a1`; the index of the event.
    fn add(&mut self, name: &str, what: What) -> usize {
        let by = by(name);
        self.history.events.push(Event { by: Some(by), what });
        self.history.events.len() - 1
    }

    fn add_for_nobody(&mut self, what: What) -> usize {
        self.history.events.push(Event { by: None, what });
        self.history.events.len() - 1
    }

    fn invoke(&mut self, name: &str) -> usize {
        let By { actor, step } = by(name);
        let everybody: Vec<_> = self.plan.actors.iter().chain(&self.observers).collect();
        let step = everybody[actor.index()].steps[step].clone();
        self.add(name, What::Invoked(step))
    }

    /// A command with nothing of anybody else in between.
    fn run(&mut self, name: &str, evidence: &[What], outcome: Outcome) -> usize {
        self.invoke(name);
        for what in evidence {
            self.add(name, what.clone());
        }
        self.add(name, What::Returned(outcome))
    }

    /// The plan is over; as many observers as this find nothing wrong.
    fn observe(&mut self, observers: usize) {
        self.add_for_nobody(What::PlanOver);
        let steps = ["open", "inspect", "put k0 4294967295", "get k0", "close"];
        self.observers = vec![actor(&steps); observers];
        for step in 1..=steps.len() {
            for at in 0..observers {
                let name = format!("{}{step}", ActorId::new(self.plan.actors.len() + at));
                let reply = match step {
                    2 => Reply::Residue(Leftovers::default()),
                    3 => Reply::Changed(true),
                    4 => Reply::Value(Some(Value::MAX)),
                    _ => Reply::Done,
                };
                self.run(&name, &[What::Served(C1)], Outcome::Done(reply));
            }
        }
    }

    fn end(&mut self, rows: &[(u8, Value)]) {
        self.add_for_nobody(What::Stopped);
        let rows: BTreeMap<_, _> = rows.iter().map(|(key, value)| (Key(*key), *value)).collect();
        self.add_for_nobody(What::FinalState(rows));
    }

    fn told(&self, violation: Option<&Violation>, width: usize) -> String {
        Report { plan: &self.plan, history: &self.history, violation, width, color: false, brief: false }.to_string()
    }

    fn told_briefly(&self, violation: Option<&Violation>) -> String {
        Report { plan: &self.plan, history: &self.history, violation, width: 100, color: false, brief: true }
            .to_string()
    }

    fn violation(&self, invariant: Invariant, at: usize, expected: &str, observed: &str) -> Violation {
        let by = self.history.events[at].by;
        Violation { invariant, at, by, expected: expected.into(), observed: observed.into() }
    }
}

fn actor(steps: &[&str]) -> Actor {
    Actor { steps: steps.iter().map(|it| it.parse::<Step>().expect("a step that parses")).collect() }
}

fn by(name: &str) -> By {
    let (letter, step) = name.split_at(1);
    let actor = ActorId::new(usize::from(letter.as_bytes()[0] - b'a'));
    By { actor, step: step.parse::<usize>().expect("a number from 1") - 1 }
}

fn done() -> Outcome {
    Outcome::Done(Reply::Done)
}

fn failed(class: FailureClass, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(class, message))
}

const NESTED: &str = "error returned from database: (code: 1) cannot start a transaction within a transaction";
const LOCKED: &str = "error returned from database: (code: 5) database is locked";

/// A nested begin that fails rolls the outer transaction back; the rest is autocommitted.
fn nested_begin() -> (Tale, Violation) {
    let mut tale = Tale::of(1, &[&["open", "begin", "begin immediate", "put k1 7", "rollback"]]);
    tale.run("a1", &[What::Connected(C1)], done());
    tale.run("a2", &[What::Served(C1)], done());
    tale.run("a3", &[What::Served(C1), What::RolledBack(C1)], failed(FailureClass::NoTransaction, NESTED));
    let wrote = [What::Served(C1), What::Wrote(C1), What::Committed(C1)];
    tale.run("a4", &wrote, Outcome::Done(Reply::Changed(true)));
    let at = tale.run("a5", &[], done());
    tale.observe(1);
    tale.end(&[(0, Value::MAX), (1, 7)]);
    let violation =
        tale.violation(Invariant::RolledBackInvisible, at, "not k1 = 7, which was undone, at the end", "k1 = 7");
    (tale, violation)
}

/// Two writers; the second waits for the first, and gives up.
fn two_writers() -> Tale {
    let a = ["open", "begin immediate", "put k1 1", "get k1", "commit", "close"];
    let b = ["open", "put k1 2", "put k2 3 cancel@sent", "close"];
    let mut tale = Tale::of(2, &[&a, &b]);
    tale.run("a1", &[What::Connected(C1)], done());
    tale.run("b1", &[What::Connected(C2)], done());
    tale.run("a2", &[What::Served(C1)], done());
    tale.invoke("b2");
    tale.add("b2", What::Served(C2));
    tale.add("b2", What::Blocked);
    tale.run("a3", &[What::Served(C1), What::Wrote(C1)], Outcome::Done(Reply::Changed(true)));
    tale.run("a4", &[What::Served(C1)], Outcome::Done(Reply::Value(Some(1))));
    tale.invoke("a5");
    tale.add("a5", What::Committed(C1));
    tale.add("b2", What::Returned(failed(FailureClass::Busy, LOCKED)));
    tale.add("a5", What::Returned(done()));
    tale.run("b3", &[What::Served(C2)], Outcome::Cancelled(Phase::Sent));
    tale.add("b3", What::RolledBack(C2));
    tale.run("a6", &[], done());
    tale.run("b4", &[], done());
    tale.add("a6", What::Ended);
    tale.add("b4", What::Ended);
    tale
}

#[test]
fn nested_begin_marks_the_rollback() {
    let (tale, violation) = nested_begin();
    insta::assert_snapshot!(tale.told(Some(&violation), 100));
}

#[test]
fn brief_report_has_no_more_than_the_violation_needs() {
    let (tale, violation) = nested_begin();
    insta::assert_snapshot!(tale.told_briefly(Some(&violation)));
    // What an observer found is told up to there.
    let (mut tale, _) = nested_begin();
    let at = tale.history.events.iter().rposition(|it| matches!(it.what, What::Invoked(_))).expect("an observer");
    let violation = tale.violation(Invariant::NoLeak, at - 4, "a row", "k1 = 7");
    tale.end(&[(1, 7)]);
    let text = tale.told_briefly(Some(&violation));
    let told: Vec<&str> = text.lines().filter(|line| line.contains("  b ") || line.contains("▶ b ")).collect();
    assert!(told.len() < 5 && told.last().is_some_and(|line| line.starts_with('▶')), "{text}");
    assert!(text.contains("\n  after the plan\n") && !text.contains("\n\n"), "{text}");
}

#[test]
fn narrow_page_cuts_the_message_into_a_note() {
    let (tale, violation) = nested_begin();
    insta::assert_snapshot!(tale.told(Some(&violation), 60));
}

#[test]
fn overlapping_commands_are_joined_by_a_line() {
    let mut tale = two_writers();
    tale.observe(2);
    tale.end(&[(0, Value::MAX), (1, 1)]);
    insta::assert_snapshot!(tale.told(None, 100));
}

#[test]
fn narrow_columns_wrap() {
    let mut tale = two_writers();
    tale.observe(2);
    tale.end(&[(0, Value::MAX), (1, 1)]);
    insta::assert_snapshot!(tale.told(None, 72));
}

#[test]
fn hung_observer_is_told_in_full() {
    let mut tale = Tale::of(2, &[&["open", "begin", "put k1 7", "raw begin", "close"]]);
    tale.run("a1", &[What::Connected(C1)], done());
    tale.run("a2", &[What::Served(C1)], done());
    tale.run("a3", &[What::Served(C1), What::Wrote(C1)], Outcome::Done(Reply::Changed(true)));
    tale.invoke("a4");
    tale.add("a4", What::Panicked("called `Option::unwrap()` on a `None` value".into()));
    tale.add_for_nobody(What::PlanOver);
    tale.observers = vec![actor(&["open", "inspect"]), actor(&["open", "inspect"])];
    tale.run("b1", &[What::Connected(C2)], done());
    tale.invoke("c1");
    tale.add("c1", What::Blocked);
    let reply = Reply::Residue(Leftovers::default());
    tale.run("b2", &[What::Served(C2)], Outcome::Done(reply));
    let at = tale.add("c1", What::Hung);
    tale.add_for_nobody(What::StopHung);
    tale.end(&[]);
    let expected = "a connection for each observer, as many as the plan allows";
    let observed = "c waits, although every other session was closed";
    let violation = tale.violation(Invariant::NoLeak, at, expected, observed);
    insta::assert_snapshot!(tale.told(Some(&violation), 100));
}

#[test]
fn observers_of_a_system_without_the_core_workload_share_a_line() {
    let mut tale = Tale::of(1, &[&["extra total"]]);
    tale.run("a1", &[], Outcome::Done(Reply::Extra("200".into())));
    tale.add_for_nobody(What::PlanOver);
    tale.observers = vec![actor(&["open", "inspect"]), actor(&["open", "inspect"])];
    for name in ["b1", "b2", "c1", "c2"] {
        tale.invoke(name);
        tale.add(name, What::Skipped);
    }
    tale.end(&[]);
    let text = tale.told(None, 100);
    assert!(text.contains("\n  after the plan\n  b, c  open, inspect: all skipped\n"), "{text}");
}

#[test]
fn unbreakable_message_is_broken_in_its_note() {
    let mut tale =
        Tale::of(1, &[&["open with locked", "put k1 7 with interrupt cancel@sent", "extra visit all", "scan"]]);
    tale.add("a1", What::FaultLanded(Fault::Locked));
    let endless = "x".repeat(150);
    tale.run("a1", &[What::Connected(C1)], failed(FailureClass::Dead, &format!("{endless} end\nof it")));
    tale.run("a2", &[What::Served(C1), What::Wrote(C1)], done());
    tale.run("a3", &[], Outcome::Done(Reply::Extra("y".repeat(90))));
    tale.run("a4", &[], Outcome::Done(Reply::Rows((1..20).map(|it| (Key(it), 1000)).collect())));
    let at = tale.add("a4", What::Ended);
    tale.add("a4", What::RolledBack(C1));
    tale.end(&[]);
    let expected = format!("not {endless}");
    let violation = tale.violation(Invariant::NoHang, at, &expected, "an answer in yyy");
    insta::assert_snapshot!(tale.told(Some(&violation), 80));
}

#[test]
fn many_actors_use_overlapping_columns() {
    let steps = ["open", "put k1 1", "close"];
    let mut tale = Tale::of(1, &[steps.as_slice(); 5]);
    for at in ["a", "b", "c", "d", "e"] {
        tale.invoke(&format!("{at}1"));
        if at != "a" {
            tale.add(&format!("{at}1"), What::Blocked);
        } else {
            tale.add("a1", What::Connected(C1));
            tale.add("a1", What::Returned(done()));
        }
    }
    tale.run("a2", &[What::Wrote(C1), What::Committed(C1)], Outcome::Done(Reply::Changed(true)));
    tale.run("a3", &[], done());
    for at in ["b", "c", "d", "e"] {
        tale.add(
            &format!("{at}1"),
            What::Returned(failed(FailureClass::Exhausted, "pool timed out while waiting for an open connection")),
        );
    }
    insta::assert_snapshot!(tale.told(None, 80));
}

#[test]
fn answers_keep_their_column_behind_long_commands_and_evidence() {
    let steps = ["open", "put k1 7", "insert k1 8 or rollback with refuse-commit cancel@before-reply", "close"];
    let mut tale = Tale::of(2, &[&steps, &["open", "put k2 9"]]);
    let long = [What::Served(C1), What::Wrote(C1), What::Committed(C1), What::Disconnected(C1), What::Connected(C2)];
    tale.run("a1", &[What::Connected(C1)], done());
    tale.run("a2", &[&long[..], &[What::RolledBack(C2)]].concat(), Outcome::Done(Reply::Changed(true)));
    tale.run("b1", &[What::Connected(C2)], done());
    tale.run("a3", &[What::Served(C2), What::RolledBack(C2)], Outcome::Cancelled(Phase::BeforeReply));
    tale.run("b2", &long, failed(FailureClass::Busy, LOCKED));
    tale.run("a4", &[], done());
    for width in [100, 120, 160, 200] {
        let text = tale.told(None, width);
        let arrows = |line: &str| line.chars().enumerate().filter(|it| it.1 == '→').map(|it| it.0).collect::<Vec<_>>();
        let mut columns: Vec<usize> = text.lines().flat_map(arrows).collect();
        assert_eq!(columns.len(), 6, "{text}");
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), 2, "one for each actor\n{text}");
    }
}

#[test]
fn what_the_database_did_later_is_not_cut_where_answers_are_short() {
    let mut tale = Tale::of(2, &[&["open", "begin immediate"], &["open", "raw temp-table"]]);
    tale.run("a1", &[What::Connected(C1)], done());
    tale.run("a2", &[What::Served(C1)], done());
    tale.run("b1", &[What::Connected(C2)], done());
    tale.run("b2", &[What::Served(C2), What::Committed(C2)], done());
    tale.add("a2", What::Ended);
    tale.add("a2", What::Disconnected(C1));
    let text = tale.told(None, 100);
    assert!(text.contains("then c1 closed") && !text.contains("…"), "{text}");
}

#[test]
fn waiting_several_times_in_a_row_is_told_once() {
    let mut tale = Tale::of(1, &[&["open"]]);
    tale.invoke("a1");
    tale.add("a1", What::Blocked);
    tale.add("a1", What::Blocked);
    tale.add("a1", What::Returned(done()));
    let text = tale.told(None, 100);
    assert!(text.contains("blocked → done"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_page() {
    for width in [0, 40, 47, 60, 80, 100, 200] {
        let (nested, violation) = nested_begin();
        let mut writers = two_writers();
        writers.observe(2);
        for text in [nested.told(Some(&violation), width), writers.told(None, width)] {
            let widest = text.lines().map(|it| it.chars().count()).max();
            assert!(widest <= Some(width.max(40)), "{widest:?} characters at the width {width}\n{text}");
            assert!(text.lines().all(|it| it.trim_end() == it), "spaces at the end of a line\n{text}");
        }
    }
}

#[test]
fn colors_change_nothing_but_colors() {
    let (tale, violation) = nested_begin();
    let (plan, history, violation) = (&tale.plan, &tale.history, Some(&violation));
    let plain = Report { plan, history, violation, width: 100, color: false, brief: false };
    let colored = Report { color: true, ..plain }.to_string();
    assert!(colored.contains("\x1b[31m▶ \x1b[0m"), "{colored:?}");
    let stripped = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"].iter().fold(colored, |it, code| it.replace(code, ""));
    assert_eq!(stripped, plain.to_string());
}

#[test]
fn message_with_escape_sequences_cannot_paint() {
    let mut tale = Tale::of(1, &[&["open"]]);
    tale.run("a1", &[], failed(FailureClass::Dead, "\x1b[2Jgone\r\nand away"));
    let text = tale.told(None, 100);
    assert!(text.contains("→ failed (dead): [2Jgone  and away"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn html_is_escaped() {
    let section = Section { title: "<script>".into(), drawing: None, text: "k1 → 'x' </pre><b>".into() };
    let page = html("a < b & \"c\"", &[section]);
    assert!(page.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"), "{page}");
    assert!(page.contains("<h2>&lt;script&gt;</h2>"), "{page}");
    assert!(page.contains("<pre>k1 → &#39;x&#39; &lt;/pre&gt;&lt;b&gt;</pre>"), "{page}");
    assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
}

/// Where these bars of a timeline begin and how high they are, in the order in which they are drawn.
fn bars(svg: &str, class: &str) -> Vec<(u32, u32)> {
    let number = |line: &str, name: &str| {
        let rest = line.split_once(&format!(" {name}=\"")).expect("it has a place").1;
        rest.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    let of_class = |line: &&str| line.starts_with(&format!("<rect class=\"{class}\""));
    svg.lines().filter(of_class).map(|line| (number(line, "y"), number(line, "height"))).collect()
}

#[test]
fn timeline_shows_a_transaction_as_claimed_and_as_it_was() {
    let (tale, violation) = nested_begin();
    let report = Report {
        plan: &tale.plan,
        history: &tale.history,
        violation: Some(&violation),
        width: 100,
        color: false,
        brief: false,
    };
    let rolled_back = tale.history.events.iter().position(|it| matches!(it.what, What::RolledBack(_)));
    let svg = timeline(&report, rolled_back);
    let (claimed, real) = (bars(&svg, "claimed"), bars(&svg, "real"));
    assert_eq!((claimed.len(), real.len()), (1, 2), "{svg}");
    assert_eq!(claimed[0].0, real[0].0, "both begin with the first begin");
    assert!(claimed[0].1 > real[0].1, "the replies claim it for longer than it was\n{svg}");
    assert!(real[1].0 > real[0].0 + real[0].1, "the write was a transaction of its own\n{svg}");
    assert_eq!(bars(&svg, "command").len(), 5, "{svg}");
    let part = svg.find("replies and evidence part").expect("it is said");
    let broken = svg.find("breaks rolled-back-invisible").expect("it is said");
    assert!(part < broken && svg.contains(">a 4  put k1 7 → done<"), "{svg}");
    assert!(!timeline(&report, None).contains("part<"), "they do not");
}

#[test]
fn timeline_marks_faults_and_cancels_and_is_escaped() {
    let mut tale = Tale::of(1, &[&["open with interrupt", "put k1 7 cancel@sent", "extra <b>"]]);
    tale.invoke("a1");
    tale.add("a1", What::FaultLanded(Fault::Interrupt));
    tale.add("a1", What::Returned(done()));
    tale.run("a2", &[What::Served(C1)], Outcome::Cancelled(Phase::Sent));
    tale.run("a3", &[], Outcome::Done(Reply::Extra("</svg>".into())));
    let report =
        Report { plan: &tale.plan, history: &tale.history, violation: None, width: 100, color: false, brief: false };
    let svg = timeline(&report, None);
    assert_eq!((svg.matches("class=\"fault\"").count(), svg.matches("class=\"cancel\"").count()), (1, 1), "{svg}");
    assert!(svg.contains("extra &lt;b&gt; → &lt;/svg&gt;"), "{svg}");
    let page = html("page", &[Section { title: "one".into(), drawing: Some(svg.clone()), text: String::new() }]);
    assert!(page.contains(&svg) && page.contains("<figcaption>"), "{page}");
}

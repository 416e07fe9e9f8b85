//! Who is innocent, and what an innocent command has to come to. Beside each history that is condemned stands one that a sloppier
//! check would condemn too.

use unstale_harness::history::{ConnectionId, Failure, FailureClass, History, Leftovers, Outcome, Reply, What};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Fault, IsolationModel, Phase};

use crate::script::{C1, DONE, Script, condemned, only_broken};

const MISTAKE: FailureClass = FailureClass::Mistake;
const CHANGED: Outcome = Outcome::Done(Reply::Changed(true));
const UNCHANGED: Outcome = Outcome::Done(Reply::Changed(false));

#[track_caller]
fn breaks(is_condemned: bool, write: impl Fn(&mut Script)) {
    let mut script = Script::default();
    write(&mut script);
    assert_eq!(condemned(&script.finish(&[])), is_condemned.then_some(Invariant::InnocentSucceeds));
}

/// A session that writes and deletes, so that the system is known to do such things.
fn serves(script: &mut Script, actor: usize) {
    script.done(actor, "open", &[]).command(actor, "put k2 2", &[], CHANGED).command(actor, "delete k2", &[], CHANGED);
    script.done(actor, "close", &[]);
}

fn failed(class: FailureClass) -> Outcome {
    Outcome::Failed(Failure::new(class, "an error"))
}

fn skip<'a>(script: &'a mut Script, actor: usize, text: &str) -> &'a mut Script {
    script.invoke(actor, text).push(actor, What::Skipped)
}

#[test]
fn nested_begin_is_refused() {
    only_broken(Invariant::InnocentSucceeds, |s, broken| {
        s.done(0, "open", &[]).done(0, "begin", &[]);
        if broken {
            s.failed(0, "begin", MISTAKE)
        } else {
            s.done(0, "begin", &[])
        };
        s.finish(&[])
    });
    // What has to lock the database when it begins cannot begin inside another transaction.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(0, "begin", &[]).failed(0, "begin immediate", MISTAKE);
    });
}

#[test]
fn every_class_of_error_is_a_failure() {
    use FailureClass::{Busy, Closed, Dead, Exhausted, Interrupted, NoTransaction, Stale};
    for class in [Busy, Closed, Dead, Exhausted, Interrupted, NoTransaction, Stale, MISTAKE] {
        breaks(true, |s| {
            s.done(0, "open", &[]).failed(0, "get k1", class);
        });
    }
}

#[test]
fn command_that_applies_is_skipped() {
    for (text, is_condemned) in [("begin", true), ("retain", true), ("close", true), ("put k1 1", true)] {
        breaks(is_condemned, |s| {
            // The system knows such a command: it answers another one.
            serves(s, 1);
            skip(s.done(0, "open", &[]), 0, text);
        });
    }
}

#[test]
fn command_that_does_not_apply_is_skipped() {
    for text in ["commit", "rollback", "drop", "stale get k1"] {
        breaks(false, |s| {
            skip(s.done(0, "open", &[]), 0, text);
        });
    }
    // There is no session for any of these.
    for text in ["put k1 1", "begin", "inspect", "resolve rows", "close"] {
        breaks(false, |s| {
            serves(s, 1);
            skip(s.command(0, "open with interrupt", &[], failed(FailureClass::Interrupted)), 0, text);
        });
    }
}

#[test]
fn core_command_that_the_system_never_answers_may_be_unknown_to_it() {
    breaks(false, |s| {
        skip(skip(s, 0, "open"), 0, "scan");
    });
    // What needs a capability was declared.
    breaks(true, |s| {
        skip(s.done(0, "open", &[]), 0, "begin");
    });
}

#[test]
fn one_connection_is_enough_for_one_session_after_the_other() {
    only_broken(Invariant::InnocentSucceeds, |s, broken| {
        s.done(0, "open", &[]).done(0, "begin", &[]).done(0, "commit", &[]).done(0, "close", &[]);
        if broken {
            s.failed(1, "open", FailureClass::Exhausted)
        } else {
            s.done(1, "open", &[])
        };
        s.finish(&[])
    });
}

#[test]
fn what_has_a_fault_may_fail() {
    let interrupt = What::FaultLanded(Fault::Interrupt);
    breaks(false, |s| {
        s.done(0, "open", &[]).failed(0, "get k1 with interrupt", FailureClass::Interrupted);
    });
    // Beside it, too: it hits whatever runs then.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).invoke(0, "get k1");
        s.command(1, "get k2 with interrupt", std::slice::from_ref(&interrupt), Outcome::Done(Reply::Value(None)));
        s.push(0, What::Returned(failed(FailureClass::Interrupted)));
    });
    // It is over with its command.
    breaks(true, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]);
        s.command(1, "get k2 with interrupt", std::slice::from_ref(&interrupt), failed(FailureClass::Interrupted));
        s.failed(0, "get k1", FailureClass::Interrupted);
    });
}

#[test]
fn dead_connection_is_noticed_by_its_next_user_and_not_later() {
    for (proof, is_condemned) in [(None, false), (Some("get k2"), true), (Some("retain"), false)] {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).done(1, "open", &[]);
            s.command(1, "get k2 with lost-idle", &[], failed(FailureClass::Dead));
            if let Some(text) = proof {
                s.done(0, text, &[]);
            }
            s.failed(0, "get k1", FailureClass::Dead);
        });
    }
    // A reply to what was asked before the fault proves nothing.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).invoke(0, "get k3");
        s.command(1, "get k2 with lost-idle", &[], failed(FailureClass::Dead));
        s.push(0, What::Returned(DONE)).failed(0, "get k1", FailureClass::Dead);
    });
    // Nor does one from before a connection was cut by whatever it was.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(0, "get k2", &[]).note(What::Lost(C1)).failed(0, "get k1", FailureClass::Dead);
    });
}

#[test]
fn session_in_doubt_may_refuse_what_follows() {
    for phase in [Phase::BeforeSend, Phase::Sent] {
        breaks(false, |s| {
            s.done(0, "open", &[]).command(0, "get k1", &[], Outcome::Cancelled(phase));
            s.failed(0, "get k2", FailureClass::Closed);
        });
        // The next session is another one.
        breaks(true, |s| {
            s.done(0, "open", &[]).command(0, "get k1", &[], Outcome::Cancelled(phase)).done(0, "close", &[]);
            s.done(0, "open", &[]).failed(0, "get k2", FailureClass::Closed);
        });
    }
    // A cancel that did not land changes nothing.
    breaks(true, |s| {
        s.done(0, "open", &[]).failed(0, "get k1 cancel@sent", FailureClass::Closed);
    });
}

#[test]
fn retained_handle_serves_as_long_as_its_session() {
    for (between, is_condemned) in [(&[][..], true), (&["close"][..], false), (&["replace"][..], false)] {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).done(0, "retain", &[]);
            for text in between {
                s.done(0, text, &[]);
            }
            s.failed(0, "stale get k1", FailureClass::Stale);
        });
    }
}

#[test]
fn failure_spoils_its_transaction_and_nothing_else() {
    for (between, is_condemned) in [(&[][..], false), (&["rollback"][..], true)] {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]).failed(0, "fail", MISTAKE);
            for text in between {
                s.done(0, text, &[]);
            }
            s.failed(0, "get k1", FailureClass::NoTransaction);
        });
    }
    breaks(true, |s| {
        s.done(0, "open", &[]).failed(0, "fail", MISTAKE).failed(0, "get k1", MISTAKE);
    });
}

#[test]
fn writer_in_the_way_excuses_a_conflict_and_nothing_else() {
    let beside = |class: FailureClass, ended: bool| {
        move |s: &mut Script| {
            s.done(0, "open", &[]).done(1, "open", &[]).done(1, "begin", &[]);
            if ended {
                s.done(1, "commit", &[]);
            }
            s.failed(0, "put k1 1", class);
        }
    };
    breaks(false, beside(FailureClass::Busy, false));
    breaks(true, beside(FailureClass::Busy, true));
    breaks(true, beside(FailureClass::Closed, false));
    // Whether a transaction that was dropped is over nobody has said.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).done(1, "begin", &[]).done(1, "drop", &[]);
        s.failed(0, "put k1 1", FailureClass::Busy);
    });
    // Somebody wrote since this transaction began, so its snapshot is too old to write.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).done(0, "begin", &[]).done(0, "get k1", &[]);
        s.command(1, "put k2 2", &[], failed(FailureClass::Busy)).failed(0, "put k1 1", FailureClass::Busy);
    });
    // What was cancelled may go on, with its locks.
    breaks(false, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).command(1, "get k2", &[], Outcome::Cancelled(Phase::Sent));
        s.failed(0, "put k1 1", FailureClass::Busy);
    });
}

#[test]
fn limit_runs_out_behind_abandoned_work_that_a_fault_holds_back() {
    for (abandoned, is_condemned) in [("rollback with freeze", false), ("rollback", true)] {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).done(1, "open", &[]).done(1, "begin", &[]).done(1, "put k1 1", &[]);
            s.command(1, abandoned, &[], Outcome::Cancelled(Phase::Sent));
            // Its own connection works.
            s.get(0, "get k2", None).failed(0, "put k1 2", FailureClass::Dead);
        });
    }
}

#[test]
fn limit_may_run_out_while_time_passes() {
    for (meanwhile, is_condemned) in [("wait 1m", false), ("open", true)] {
        // Of a transaction in which nothing happens, and of a command that waits.
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]).done(1, meanwhile, &[]);
            s.failed(0, "put k1 1", FailureClass::Closed);
        });
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).invoke(0, "get k1").done(1, meanwhile, &[]);
            s.push(0, What::Returned(failed(FailureClass::Dead)));
        });
    }
    // A session in which nothing is open has none.
    breaks(true, |s| {
        s.done(0, "open", &[]).done(0, "wait 1h", &[]).failed(0, "get k1", FailureClass::Dead);
    });
}

#[test]
fn late_task_excuses_a_conflict() {
    let judged = |tasks_overlap| {
        let mut script = Script::default();
        script.done(0, "open", &[]).failed(0, "get k1", FailureClass::Busy);
        condemned(&History { tasks_overlap, ..script.finish(&[]) })
    };
    assert_eq!(judged(Some(0)), None);
    for not_yet in [None, Some(100)] {
        assert_eq!(judged(not_yet), Some(Invariant::InnocentSucceeds));
    }
}

#[test]
fn stream_with_rows_to_come_may_cost_the_session_on_postgresql() {
    let judged = |isolation, reply: Reply| {
        let mut script = Script::default();
        script.done(0, "open", &[]).command(0, "stream 1", &[], Outcome::Done(reply));
        script.failed(0, "get k1", FailureClass::Dead);
        condemned(&History { isolation, ..script.finish(&[]) })
    };
    assert_eq!(judged(IsolationModel::Postgres, Reply::FirstRows(Vec::new())), None);
    assert_eq!(judged(IsolationModel::Postgres, Reply::Rows(Vec::new())), Some(Invariant::InnocentSucceeds));
    assert_eq!(judged(IsolationModel::Sqlite, Reply::FirstRows(Vec::new())), Some(Invariant::InnocentSucceeds));
}

#[test]
fn closed_pool_owes_nothing() {
    for (phase, is_condemned) in [(Phase::BeforeSend, true), (Phase::Sent, false)] {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]).command(1, "close-pool", &[], Outcome::Cancelled(phase));
            s.failed(0, "get k1", FailureClass::Closed);
        });
    }
}

#[test]
fn mistake_that_the_plan_asks_for_is_answered_as_one() {
    breaks(true, |s| {
        s.done(0, "open", &[]).done(0, "fail", &[]);
    });
    breaks(false, |s| {
        s.done(0, "open", &[]).failed(0, "fail", MISTAKE);
    });
    breaks(true, |s| {
        s.done(0, "open", &[]).failed(0, "fail", FailureClass::Dead);
    });
}

/// What became of one insert or delete, after the key was written, or not, by another session.
fn row(text: &str, there: bool, outcome: &Outcome) -> Option<Invariant> {
    let mut script = Script::default();
    script.done(1, "open", &[]).done(0, "open", &[]);
    if there {
        script.command(1, "put k1 1", &[], CHANGED);
    }
    script.command(0, text, &[], outcome.clone());
    let is_written = *outcome == CHANGED;
    let rows = match (text, there) {
        ("delete k1", true) if !is_written => &[(1, 1)][..],
        ("delete k1", _) => &[],
        (_, _) if is_written => &[(1, 2)],
        (_, true) => &[(1, 1)],
        (_, false) => &[],
    };
    condemned(&script.finish(rows))
}

#[test]
fn answer_agrees_with_what_was_there() {
    let refused = failed(MISTAKE);
    for (text, when_there, when_absent) in [
        ("insert k1 2", &refused, &CHANGED),
        ("insert k1 2 or ignore", &UNCHANGED, &CHANGED),
        ("insert k1 2 or rollback", &refused, &CHANGED),
        ("delete k1", &CHANGED, &UNCHANGED),
    ] {
        for (there, right, wrong) in [(true, when_there, when_absent), (false, when_absent, when_there)] {
            assert_eq!(row(text, there, right), None, "{text} there: {there}");
            assert_eq!(row(text, there, wrong), Some(Invariant::InnocentSucceeds), "{text} there: {there}");
        }
    }
    for there in [true, false] {
        assert_eq!(row("insert k1 2 or replace", there, &CHANGED), None);
        assert_eq!(row("insert k1 2 or replace", there, &UNCHANGED), Some(Invariant::InnocentSucceeds));
        assert_eq!(row("put k1 2", there, &UNCHANGED), Some(Invariant::InnocentSucceeds));
    }
}

#[test]
fn key_that_may_be_there_or_not_allows_either_answer() {
    for cancelled in ["put k1 1", "delete k1"] {
        for outcome in [CHANGED, failed(MISTAKE)] {
            let mut script = Script::default();
            script.done(0, "open", &[]).done(1, "open", &[]).command(1, "put k1 3", &[], CHANGED);
            script.command(1, "delete k1", &[], CHANGED);
            script.command(1, cancelled, &[], Outcome::Cancelled(Phase::Sent)).command(
                0,
                "insert k1 2",
                &[],
                outcome.clone(),
            );
            let rows = if outcome == CHANGED { &[(1, 2)][..] } else { &[(1, 1)] };
            let expected = (cancelled == "delete k1" && outcome != CHANGED).then_some(Invariant::RolledBackInvisible);
            assert_eq!(condemned(&script.finish(rows)), expected, "{cancelled}, {outcome}");
        }
    }
    // In its own transaction the session knows what it has written, whatever others did.
    for (own, expected) in [("delete k1", Some(Invariant::InnocentSucceeds)), ("put k1 5", None)] {
        let mut script = Script::default();
        script.done(0, "open", &[]).command(0, "put k1 3", &[], CHANGED).done(0, "begin", &[]);
        script.command(0, own, &[], CHANGED).failed(0, "insert k1 2", MISTAKE).done(0, "rollback", &[]);
        assert_eq!(condemned(&script.finish(&[(1, 3)])), expected, "{own}");
    }
}

#[test]
fn session_sees_what_it_has_left_on_its_connection() {
    let inspect = |setting: bool, temp_tables: u32, locks: u32| {
        Outcome::Done(Reply::Residue(Leftovers { setting, temp_tables, locks, ..Leftovers::default() }))
    };
    let cases = [
        ("raw setting", inspect(true, 0, 0)),
        ("raw temp-table", inspect(false, 1, 0)),
        ("raw lock", inspect(false, 0, 1)),
    ];
    for (raw, right) in cases {
        only_broken(Invariant::InnocentSucceeds, |s, broken| {
            let seen = if broken { inspect(false, 0, 0) } else { right.clone() };
            s.done(0, "open", &[]).done(0, raw, &[]).command(0, "inspect", &[], seen);
            s.finish(&[])
        });
        // A rollback may have undone it if it was inside, and the next session has another connection.
        for (steps, is_condemned) in [
            (&["begin", raw, "rollback"][..], false),
            (&[raw, "begin", "rollback"], true),
            (&[raw, "close", "open"], false),
        ] {
            breaks(is_condemned, |s| {
                s.done(0, "open", &[]);
                for text in steps {
                    s.done(0, text, &[]);
                }
                s.command(0, "inspect", &[], inspect(false, 0, 0));
            });
        }
    }
    // A system may refuse what would stay on a connection that it cannot replace.
    breaks(false, |s| {
        s.done(0, "open", &[]).failed(0, "raw setting", MISTAKE);
    });
}

#[test]
fn innocent_failure_is_reported_only_if_nothing_else_breaks() {
    let mut script = Script::default();
    script.done(0, "open", &[]).failed(0, "get k1", FailureClass::Closed);
    script.command(0, "put k1 1", &[What::Served(ConnectionId(1))], CHANGED);
    assert_eq!(condemned(&script.finish(&[])), Some(Invariant::CommittedDurable));
}

/// While somebody has a session, the next one may have to wait, and for how long is the system's own business. Whether a
/// connection will be free in time is known only to who waits.
#[test]
fn caller_is_refused_a_connection_only_after_it_has_waited() {
    only_broken(Invariant::InnocentSucceeds, |s, broken| {
        s.done(0, "open", &[]).invoke(1, "open");
        if !broken {
            s.push(1, What::Blocked);
        }
        s.push(1, What::Returned(failed(FailureClass::Exhausted))).finish(&[])
    });
}

#[test]
fn what_a_session_has_set_stays_whatever_falls_on_it() {
    let default = || Outcome::Done(Reply::Residue(Leftovers::default()));
    let cases: [(&[&str], bool); 5] = [
        (&["raw setting"], true),
        (&["begin", "rollback", "raw setting", "begin"], true),
        // What was set inside a transaction goes with it.
        (&["begin", "raw setting"], false),
        (&["raw begin", "raw setting"], false),
        (&["raw setting", "close", "open"], false),
    ];
    for (before, is_condemned) in cases {
        breaks(is_condemned, |s| {
            s.done(0, "open", &[]);
            for text in before {
                s.done(0, text, &[]);
            }
            s.failed(0, "get k1 with interrupt", FailureClass::Dead);
            s.command(0, "inspect", &[], default());
        });
    }
    // Inside a fixture everybody is on one connection, and what is in doubt on it for one of them is for all.
    for (fixture, expected) in [(true, None), (false, Some(Invariant::InnocentSucceeds))] {
        let mut script = Script::default();
        script.done(0, "open", &[]).done(0, "raw setting", &[]);
        script.command(0, "get k1 cancel@sent", &[], Outcome::Cancelled(Phase::Sent));
        script.command(0, "inspect", &[], default());
        assert_eq!(condemned(&History { fixture, ..script.finish(&[]) }), expected);
    }
}

#[test]
fn statement_of_a_transaction_is_refused_after_its_table_was_changed() {
    let after = |fault: &str, refused: &str, depth: bool| {
        let fault = format!("get k2 with {fault}@before-send");
        breaks(fault.contains("latency") || !depth && refused.starts_with("get"), |s| {
            s.done(0, "open", &[]).get(0, &fault, None).get(0, "get k2", None);
            if depth {
                s.done(0, "begin", &[]);
            }
            s.failed(0, refused, MISTAKE);
        });
    };
    after("alter-table", "get k1", true);
    after("alter-table", "get k1", false);
    after("alter-table", "swap k1 3", false);
    after("latency-60", "get k1", true);
    after("latency-60", "swap k1 3", false);
}

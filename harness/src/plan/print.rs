//! How steps print: one line of plain words.
//!
//! Owns the words that the commands of a plan print as; `text` reads them.

use std::fmt;

use super::{BeginMode, Command, Conflict, Pause, Phase, Residue, Spelling, Step, Usage};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command)?;
        if let Some(fault) = self.fault {
            write!(f, " with {fault}")?;
        }
        if let Some(phase) = self.cancel {
            write!(f, " cancel@{phase}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Close => f.write_str("close"),
            Self::Begin(BeginMode::Plain) => f.write_str("begin"),
            Self::Begin(BeginMode::Immediate) => f.write_str("begin immediate"),
            Self::Begin(BeginMode::Exclusive) => f.write_str("begin exclusive"),
            Self::Begin(BeginMode::ReadOnly) => f.write_str("begin read-only"),
            Self::Commit => f.write_str("commit"),
            Self::Rollback => f.write_str("rollback"),
            Self::Drop => f.write_str("drop"),
            Self::Put(key, value) => write!(f, "put {key} {value}"),
            Self::Swap(key, value) => write!(f, "swap {key} {value}"),
            Self::Insert(key, value, conflict) => write!(f, "insert {key} {value}{conflict}"),
            Self::Get(key) => write!(f, "get {key}"),
            Self::Delete(key) => write!(f, "delete {key}"),
            Self::Scan => f.write_str("scan"),
            Self::Stream(rows) => write!(f, "stream {rows}"),
            Self::Fail => f.write_str("fail"),
            Self::Slow => f.write_str("slow"),
            Self::Wait(pause) => write!(f, "wait {pause}"),
            Self::Raw(residue, Spelling::PLAIN) => write!(f, "raw {residue}"),
            Self::Raw(residue, spelling) => write!(f, "raw {residue} spelled {spelling}"),
            Self::Inspect => f.write_str("inspect"),
            Self::Retain => f.write_str("retain"),
            Self::Stale(usage) => write!(f, "stale {usage}"),
            Self::Use(usage) => write!(f, "use rows {usage}"),
            Self::Autonomous(usage) => write!(f, "autonomous {usage}"),
            Self::Race(key) => write!(f, "race {key}"),
            Self::Abandon(key) => write!(f, "abandon {key}"),
            Self::ClosePool => f.write_str("close-pool"),
            Self::Resolve(wanted) => write!(f, "resolve {wanted}"),
            Self::Override(service) => write!(f, "override {service}"),
            Self::Restore => f.write_str("restore"),
            Self::Invalidate(service) => write!(f, "invalidate {service}"),
            Self::WarmUp => f.write_str("warm-up"),
            Self::Fork => f.write_str("fork"),
            Self::Replace => f.write_str("replace"),
            Self::Crash => f.write_str("crash"),
            Self::Extra(words) => write!(f, "extra {words}"),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "get {key}"),
            Self::Put(key, value) => write!(f, "put {key} {value}"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abort => "",
            Self::Ignore => " or ignore",
            Self::Replace => " or replace",
            Self::Rollback => " or rollback",
        })
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::Hour => "1h",
        })
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transaction => "begin",
            Self::Setting => "setting",
            Self::TempTable => "temp-table",
            Self::Lock => "lock",
            Self::Channel => "channel",
            Self::Cursor => "cursor",
            Self::Prepared => "prepared",
            Self::Attached => "attached",
        })
    }
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.around {
            0 => write!(f, "{}", self.core),
            around => write!(f, "{}.{around}", self.core),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeSend => "before-send",
            Self::Sent => "sent",
            Self::BeforeReply => "before-reply",
            Self::Poll(polls) => return write!(f, "poll:{polls}"),
        })
    }
}

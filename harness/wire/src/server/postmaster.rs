//! The first process of a server, which is a child of ours, and its own children.
//!
//! Owns all signals, and the proof that has to come before each: the process that we started still runs, the cluster says that
//! it has it, and whatever else is signalled is its child. What a server does with a signal is not its business.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::ServerError;
use super::place;
use super::processes::{self, Process};

/// How long killed processes may take to be gone.
pub(super) const KILL_MAX: Duration = Duration::from_secs(10);

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// A server's first process, in this cluster.
pub(super) struct Postmaster {
    child: Child,
    pid: i32,
    data: PathBuf,
}

impl Postmaster {
    /// This child of ours was started in this cluster.
    pub(super) fn new(child: Child, data: PathBuf) -> Self {
        let pid = i32::try_from(child.id()).expect("a pid of Unix is an i32");
        Self { child, pid, data }
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Result<bool, ServerError> {
        self.ended_within(Duration::ZERO)
    }

    /// Whether it ended in this time.
    pub(super) fn ended_within(&mut self, limit: Duration) -> Result<bool, ServerError> {
        place::ended_within(&mut self.child, limit).map_err(ServerError::io("look at the server"))
    }

    /// Whether it accepts connections.
    pub(super) fn is_ready(&self) -> bool {
        PidFile::read(&self.data).is_some_and(|it| it.pid == self.pid && it.ready)
    }

    /// Proves that this is the server that we started, and that it still runs.
    pub(super) fn certify(&mut self) -> Result<(), ServerError> {
        if self.has_ended()? {
            return Err(ServerError::NotRunning);
        }
        let not_ours = |why: String| ServerError::NotOurs { pid: self.pid, why };
        let file = PidFile::read(&self.data).ok_or_else(|| not_ours("its cluster has no postmaster.pid".into()))?;
        if file.pid != self.pid {
            return Err(not_ours(format!("its cluster's postmaster.pid names process {}", file.pid)));
        }
        if file.data != self.data {
            return Err(not_ours(format!("its postmaster.pid names the cluster `{}`", file.data.display())));
        }
        Ok(())
    }

    /// Signals it. [`Postmaster::certify`] comes first.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        send(self.pid, signal)
    }

    /// Signals this process if it is a child. [`Postmaster::certify`] comes first.
    pub(super) fn signal_child(&self, pid: i32, signal: Signal) -> Result<(), ServerError> {
        let not_ours = |why: String| ServerError::NotOurs { pid, why };
        if pid == self.pid {
            return Err(not_ours("it is the server itself, and no backend: use `stop`".into()));
        }
        let found = if pid > 0 { processes::one(pid) } else { Ok(None) };
        match found.map_err(ServerError::io("look at the table of processes"))? {
            Some(Process { ended: true, .. }) => Err(not_ours("it has ended".into())),
            Some(Process { parent, .. }) if parent == self.pid => send(pid, signal),
            Some(Process { parent, .. }) => {
                Err(not_ours(format!("its parent is process {parent} and not the private server, {}", self.pid)))
            }
            None => Err(not_ours("there is no such process".into())),
        }
    }

    /// Wakes all children that are frozen. [`Postmaster::certify`] comes first.
    pub(super) fn wake_children(&self) -> Result<(), ServerError> {
        for child in self.children()? {
            // It may have ended meanwhile.
            let _ = send(child, Signal::CONT);
        }
        Ok(())
    }

    /// Kills it with all its children.
    pub(super) fn kill(&mut self) -> Result<(), ServerError> {
        // 1. Stopped, it makes no further children; nor are their pids given to others, since it would have to reap them first.
        self.signal(Signal::STOP)?;
        // 2. A child may have been made just before. So until none is left.
        let begin = Instant::now();
        loop {
            let children = self.children()?;
            if children.is_empty() || begin.elapsed() >= KILL_MAX {
                break;
            }
            for child in children {
                let _ = send(child, Signal::KILL);
            }
            thread::sleep(LOOK);
        }
        // 3. Itself.
        self.child.kill().and_then(|()| self.child.wait()).map_err(ServerError::io("kill the server"))?;
        Ok(())
    }

    /// The pids of its children that have not ended.
    fn children(&self) -> Result<Vec<i32>, ServerError> {
        let all = processes::all().map_err(ServerError::io("look at the table of processes"))?;
        Ok(all.iter().filter(|it| it.parent == self.pid && !it.ended).map(|it| it.pid).collect())
    }
}

/// What a server says of itself in its cluster: line 1 is its pid, 2 its folder, 8 its state
/// (<https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/utils/pidfile.h>).
struct PidFile {
    pid: i32,
    data: PathBuf,
    ready: bool,
}

impl PidFile {
    fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let line = |number: usize| text.lines().nth(number - 1);
        let ready = line(8).is_some_and(|it| it.trim_end() == "ready");
        Some(Self { pid: line(1)?.parse().ok()?, data: line(2)?.into(), ready })
    }
}

fn send(pid: i32, signal: Signal) -> Result<(), ServerError> {
    // Zero and negative numbers mean whole groups of processes.
    let pid = Some(pid).filter(|it| *it > 0).and_then(Pid::from_raw);
    let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |it| kill_process(it, signal));
    sent.map_err(|error| ServerError::io("signal a process of the server")(error.into()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Something that is no server, and says this in a cluster's pid file.
    fn with_pid_file(text: impl Fn(u32, &Path) -> String, check: impl Fn(&mut Postmaster)) {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(folder.path().join("postmaster.pid"), text(child.id(), folder.path())).unwrap();
        let mut postmaster = Postmaster::new(child, folder.path().to_owned());
        check(&mut postmaster);
        postmaster.child.kill().unwrap();
        postmaster.child.wait().unwrap();
        assert!(matches!(postmaster.certify(), Err(ServerError::NotRunning)));
    }

    #[test]
    fn server_is_certified_by_its_pid_file() {
        let text = |pid: u32, data: &Path| format!("{pid}\n{}\n1\n5432\n/\n\n1 2\nready   \n", data.display());
        with_pid_file(text, |it| assert!(it.certify().is_ok() && it.is_ready()));
    }

    #[test]
    fn process_that_the_cluster_does_not_name_is_not_ours() {
        let refused = |it: &mut Postmaster| it.certify().unwrap_err().to_string();
        with_pid_file(
            |_, data| format!("1\n{}\n", data.display()),
            |it| {
                assert!(!it.is_ready());
                assert!(refused(it).contains("names process 1:"), "{}", refused(it));
            },
        );
        with_pid_file(
            |pid, _| format!("{pid}\n/var/lib/postgresql\n"),
            |it| {
                assert!(refused(it).contains("`/var/lib/postgresql`"), "{}", refused(it));
            },
        );
        with_pid_file(|_, _| String::new(), |it| assert!(refused(it).contains("no postmaster.pid")));
    }
}

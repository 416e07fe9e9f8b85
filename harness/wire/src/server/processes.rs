//! Which processes belong to a server.
//!
//! Owns the look into the operating system's table of processes, from `/proc` where there is one and from `ps` elsewhere.
//! It signals nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// It has ended, and only its entry is still there.
    pub(super) ended: bool,
    /// Its command line, which the processes of a server change to say what they do.
    pub(super) title: String,
}

/// All processes.
pub(super) fn all() -> io::Result<Vec<Process>> {
    if !has_proc() {
        return Ok(from_ps(&run_ps(&["-ax"])?));
    }
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // What ends between the two looks is not there.
    Ok(pids.filter_map(from_proc).collect())
}

/// One process, if it is there.
pub(super) fn one(pid: i32) -> io::Result<Option<Process>> {
    if has_proc() { Ok(from_proc(pid)) } else { Ok(from_ps(&run_ps(&["-p", &pid.to_string()])?).pop()) }
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn from_proc(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (parent, ended) = parse_stat(&stat)?;
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title).replace('\0', " ").trim_end().to_owned();
    Some(Process { pid, parent, ended, title })
}

/// `pid (name) state parent …`, and the name may hold blanks and parentheses (proc_pid_stat(5)).
fn parse_stat(stat: &str) -> Option<(i32, bool)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((parent, matches!(state, "Z" | "X")))
}

fn run_ps(which: &[&str]) -> io::Result<String> {
    let columns = ["-o", "pid=", "-o", "ppid=", "-o", "stat=", "-o", "args="];
    let output = Command::new("ps").args(which).args(columns).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn from_ps(table: &str) -> Vec<Process> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let pid = fields.next()?.parse().ok()?;
        let parent = fields.next()?.parse().ok()?;
        let ended = fields.next()?.starts_with('Z');
        let title: Vec<&str> = fields.collect();
        Some(Process { pid, parent, ended, title: title.join(" ") })
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_in_both_tables() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = one(pid).unwrap().unwrap();
        assert!(!own.ended && own.parent > 0 && !own.title.is_empty(), "{own:?}");
        assert!(all().unwrap().contains(&own));
    }

    #[test]
    fn names_with_blanks_and_parentheses_do_not_confuse() {
        assert_eq!(parse_stat("17 (a) b (c)) Z 4 17 17 0"), Some((4, true)));
        assert_eq!(parse_stat("17 (postgres) S 4 17 17 0"), Some((4, false)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn table_of_ps_is_read() {
        let table =
            "    1     0 Ss   /sbin/init\n   42     1 Z    (postgres)\n   43    42 S    postgres: a-1: idle\nx\n";
        let found = from_ps(table);
        assert_eq!(found.len(), 3);
        assert!(found[1].ended && !found[2].ended);
        assert_eq!((found[2].parent, found[2].title.as_str()), (42, "postgres: a-1: idle"));
    }
}

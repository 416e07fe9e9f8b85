//! The account that runs the server's programs.
//!
//! Owns the switch of user, which PostgreSQL needs when this process is root, and the environment that all its programs
//! are started in.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, fs, io};

use super::error::ServerError;

/// The accounts that may run a server for root, in this order.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user to run programs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Returns the account that runs the server in place of root; none if we are not root.
    pub(super) fn instead_of_root() -> Result<Option<Self>, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(ServerError::io("read /etc/passwd"))?;
        Self::unprivileged(&passwd).map(Some).ok_or(ServerError::NoAccount)
    }

    fn unprivileged(passwd: &str) -> Option<Self> {
        let accounts: Vec<Self> = passwd.lines().filter_map(Self::parse).filter(|it| it.uid != 0).collect();
        UNPRIVILEGED.iter().find_map(|name| accounts.iter().find(|it| it.name == *name)).cloned()
    }

    /// `name:password:uid:gid:…`
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }
}

/// Gives a file or folder to the account that runs the server.
pub(super) fn give(path: &Path, account: Option<&Account>) -> io::Result<()> {
    match account {
        Some(Account { uid, gid, .. }) => std::os::unix::fs::chown(path, Some(*uid), Some(*gid)),
        None => Ok(()),
    }
}

/// A program that is run as this account, apart from our terminal, and without input or output until given some.
pub(super) fn command(program: &Path, account: Option<&Account>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // Its own process group: an interrupt from the terminal is for us, and we decide what becomes of the server.
    command.process_group(0).current_dir(folder).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What the caller's environment says about other servers and passwords is no business of this one.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some(Account { uid, gid, .. }) = account {
        // The standard library gives up root's further groups as well.
        command.uid(*uid).gid(*gid);
    }
    command
}

/// Starts it; a refused switch of user gets an error of its own.
pub(super) fn spawn(command: &mut Command, account: Option<&Account>) -> Result<Child, ServerError> {
    command.spawn().map_err(|source| {
        let program = Path::new(command.get_program()).display().to_string();
        refused(source, &program, account)
    })
}

fn refused(source: io::Error, program: &str, account: Option<&Account>) -> ServerError {
    match account {
        // A program that may not be executed answers with another code of the same kind.
        Some(Account { name, .. }) if source.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            ServerError::NoSwitch { account: name.clone(), source: Arc::new(source) }
        }
        Some(Account { name, .. }) => ServerError::io(format!("run `{program}` as `{name}`"))(source),
        None => ServerError::io(format!("run `{program}`"))(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn postgres_is_preferred_then_nobody_and_never_root() {
        let name = |passwd: &str| Account::unprivileged(passwd).map(|it| it.name);
        assert_eq!(name(PASSWD), Some("postgres".into()));
        assert_eq!(name(&PASSWD.replace("postgres:", "_postgres:")), Some("nobody".into()));
        assert_eq!(name("postgres:x:0:0::/:/bin/sh\n"), None);
        assert_eq!(name("broken\n\n"), None);
    }

    #[test]
    fn refused_switch_of_user_is_told_as_such() {
        let account = Account::unprivileged(PASSWD);
        let error = |errno: rustix::io::Errno| refused(errno.into(), "/bin/postgres", account.as_ref());
        let refused = error(rustix::io::Errno::PERM);
        assert!(matches!(refused, ServerError::NoSwitch { .. }), "{refused}");
        assert!(refused.to_string().contains("becoming `postgres` was refused"), "{refused}");
        let other = error(rustix::io::Errno::ACCESS).to_string();
        assert!(other.starts_with("cannot run `/bin/postgres` as `postgres`: "), "{other}");
    }
}

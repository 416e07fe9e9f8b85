//! The folder in which all private clusters of this process live, and the watcher that removes it.
//!
//! Owns the making of clusters: one is made by `initdb`, the others are copies of it. The watcher is a shell that reads a
//! pipe whose other end only this process holds; so whatever ends this process, also SIGKILL, ends the servers and removes
//! their files. Servers are started and stopped elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use super::account::{self, Account};
use super::binaries::Binaries;
use super::error::ServerError;
use super::log;

/// The superuser of every private cluster, and its database.
pub(super) const USER: &str = "unstale";

/// How long making a cluster may take. Half a second is usual.
const MAKE_MAX: Duration = Duration::from_secs(120);

/// How long a folder may take to be cleaned. The script gives up by itself before that.
const CLEAN_MAX: Duration = Duration::from_secs(20);

/// How much room a few clusters need; where memory is short, a disk is used.
const ROOM_MIN: u64 = 512 << 20;

/// Ends everything in a folder and removes it.
const CLEAN: &str = include_str!("clean.sh");

/// Passwords are asked for everywhere, also from those who come through the socket. On this machine they are sent as they are, and
/// kept as MD5: a plan opens several connections, and SCRAM costs each ten milliseconds of the client and seven of the server.
/// They are drawn at random for each process, so there is nothing to guess.
const RULES: &str = "local all all password\nhost all all 127.0.0.1/32 password\n";

/// This process's folder for clusters.
pub(super) struct Place {
    folder: PathBuf,
    /// What the titles of all its servers' processes begin with.
    name: String,
    binaries: Binaries,
    account: Option<Account>,
    password: String,
    made: AtomicU32,
    /// Holds the watcher's pipe, and is closed by the end of this process. The standard library keeps it from the programs
    /// that are started, or they would hold it as well.
    _watcher: Child,
}

impl Place {
    /// The place, which is made on first use.
    pub(super) fn of_this_process() -> Result<&'static Self, ServerError> {
        static PLACE: OnceLock<Result<Place, ServerError>> = OnceLock::new();
        PLACE.get_or_init(Self::make).as_ref().map_err(Clone::clone)
    }

    pub(super) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// A fresh cluster, named for the titles of its processes, in a folder of its own.
    pub(super) fn cluster(&self) -> Result<(String, PathBuf), ServerError> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{}-{number}", self.name);
        let folder = self.folder.join(number.to_string());
        self.folder(&folder)?;
        let mut copy = self.command(Path::new("cp"));
        copy.arg("-Rp").arg(self.folder.join("template/data")).arg(folder.join("data"));
        let made = self.run(copy, "cp", "", &folder.join("log"));
        // Half a copy is no use to anybody; the watcher would remove it only at the end.
        made.inspect_err(|_| self.clean(&folder, &name))?;
        Ok((name, folder))
    }

    /// One of the server's programs, to be run by the account that runs the servers.
    pub(super) fn command(&self, program: &Path) -> Command {
        account::command(program, self.account.as_ref(), &self.folder)
    }

    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child, ServerError> {
        account::spawn(command, self.account.as_ref())
    }

    /// Ends the cluster's server and removes its files, within a bound; what cannot be done now is left to the watcher.
    pub(super) fn clean(&self, folder: &Path, name: &str) {
        if let Ok(mut cleaner) = self.spawn(&mut self.cleaner(folder, &format!("{name}: ")))
            && !ended_within(&mut cleaner, CLEAN_MAX).unwrap_or(false)
        {
            let _ = cleaner.kill();
            let _ = cleaner.wait();
        }
    }

    fn make() -> Result<Self, ServerError> {
        let binaries = Binaries::find()?;
        let account = Account::instead_of_root()?;
        let folder = tempfile::Builder::new()
            .prefix("unstale-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(room(account.is_some()))
            .map_err(ServerError::io("make a temporary folder for a private server"))?;
        account::give(folder.path(), account.as_ref()).map_err(ServerError::io("give the server its folder"))?;
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = folder.path().to_owned();
        let mut watcher = cleaner(account.as_ref(), &path, &format!("{name}-"));
        let watcher = account::spawn(watcher.stdin(Stdio::piped()), account.as_ref())?;
        // From here on the watcher removes it.
        let folder = folder.keep();
        // 128 bits. One password for all clusters of this process, since they are copies of one.
        let password = format!("{:032x}", rand::random::<u128>());
        let made = AtomicU32::new(0);
        let place = Self { folder, name, binaries, account, password, made, _watcher: watcher };
        place.template()?;
        Ok(place)
    }

    /// Makes the cluster that the others are copies of. No server of it is ever reachable.
    fn template(&self) -> Result<(), ServerError> {
        let template = self.folder.join("template");
        let (data, log) = (template.join("data"), template.join("log"));
        self.folder(&template)?;

        // A file that only its owner can read, for as long as `initdb` runs: command lines and environments can be seen.
        let password = template.join("password");
        let secret = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password);
        secret.and_then(|mut it| it.write_all(self.password.as_bytes())).map_err(ServerError::io("write a file"))?;
        account::give(&password, self.account.as_ref()).map_err(ServerError::io("give the server a file"))?;
        let mut initdb = self.command(&self.binaries.program("initdb"));
        initdb.args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=md5", "--wal-segsize=1"]);
        initdb.args(["--username", USER]).arg("--pwfile").arg(&password).arg("-D").arg(&data);
        let made = self.run(initdb, "initdb", "", &log);
        let removed = fs::remove_file(password).map_err(ServerError::io("remove the password's file"));
        made.and(removed)?;

        // Without a server there is nothing to log in to.
        let mut single = self.command(&self.binaries.program("postgres"));
        single.arg("--single").arg("-D").arg(&data).args(["-F", "postgres"]);
        self.run(single, "postgres --single", &format!("create database {USER};\n"), &log)?;
        fs::write(data.join("pg_hba.conf"), RULES).map_err(ServerError::io("write pg_hba.conf"))
    }

    /// Runs a program to its end.
    fn run(&self, mut command: Command, program: &'static str, input: &str, log: &Path) -> Result<(), ServerError> {
        let output = || File::options().create(true).append(true).open(log).map_err(ServerError::io("open a log"));
        command.stdin(Stdio::piped()).stdout(output()?).stderr(output()?);
        let mut child = self.spawn(&mut command)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not want it has failed, and its output says why.
            let _ = stdin.write_all(input.as_bytes());
        }
        if !ended_within(&mut child, MAKE_MAX).map_err(ServerError::io(format!("wait for `{program}`")))? {
            let _ = child.kill();
            let _ = child.wait();
            let log = log::tail(log, 0, &self.password);
            return Err(ServerError::TooSlow { what: program, seconds: MAKE_MAX.as_secs(), log });
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(ServerError::NotMade { program, output: log::tail(log, 0, &self.password) }),
        }
    }

    /// Makes a folder that only the server's user can enter.
    fn folder(&self, path: &Path) -> Result<(), ServerError> {
        fs::create_dir(path)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .and_then(|()| account::give(path, self.account.as_ref()))
            .map_err(ServerError::io(format!("make `{}`", path.display())))
    }

    fn cleaner(&self, folder: &Path, title: &str) -> Command {
        cleaner(self.account.as_ref(), folder, title)
    }
}

fn cleaner(account: Option<&Account>, folder: &Path, title: &str) -> Command {
    // Not inside the folder that is to be removed.
    let mut command = account::command(Path::new("/bin/sh"), account, Path::new("/"));
    command.args(["-c", CLEAN, "unstale-cleaner"]).arg(folder).arg(title);
    command
}

/// Whether it ended in this time. It is asked again and again, since the standard library has no wait with a bound.
pub(super) fn ended_within(child: &mut Child, limit: Duration) -> io::Result<bool> {
    let begin = Instant::now();
    while child.try_wait()?.is_none() {
        if begin.elapsed() >= limit {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}

/// Returns a folder in memory if the machine has room there, since nothing outlives the process; otherwise the folder
/// of temporary files.
fn room(root: bool) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map(|it| it.f_bavail.saturating_mul(it.f_frsize));
    if free.is_ok_and(|it| it >= ROOM_MIN) {
        memory.to_owned()
    } else if root {
        // Root's own folder for temporary files may be closed to the user who runs the server.
        PathBuf::from("/tmp")
    } else {
        env::temp_dir()
    }
}

//! A private PostgreSQL server.
//!
//! Owns a cluster from its making to its removal, and what is done to its processes: stopping, killing, freezing. It is
//! synchronous and every wait is bounded, so that it can be used in statics, in `drop` and in tests of every kind. It knows
//! nothing of plans, and never touches a server that it did not start.

mod account;
mod binaries;
mod error;
mod log;
mod place;
mod processes;
mod settings;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use rustix::process::{Pid, kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use self::place::{Place, USER, ended_within};
use self::processes::Process;

pub use self::binaries::{Binaries, VERSION_MIN};
pub use self::error::ServerError;

/// How many ports are tried.
const PORTS_MAX: usize = 5;

/// Where ports are drawn from: below the ranges from which Linux and macOS give ports to outgoing connections. A port from
/// there may be taken while the server is down, and worse: a client that goes on trying to connect to it may be given the
/// same port for itself, and is then connected to itself.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// How long a server may take until it accepts connections; 0.1 s is usual, crash recovery takes longer.
const START_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to stop.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How long killed processes may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A private server with its cluster. Both are gone once it is dropped, or the process has ended in any way.
///
/// Its superuser and its database are called `unstale`. It asks everybody for a password.
pub struct Server {
    place: &'static Place,
    name: String,
    folder: PathBuf,
    port: u16,
    /// None while it is down.
    postmaster: Mutex<Option<Child>>,
}

/// A way to end a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are terminated and told so, and the server writes a checkpoint.
    Fast,
    /// Sessions are cut off with a warning; crash recovery follows.
    Immediate,
    /// SIGKILL for every process at once; crash recovery follows.
    Kill,
}

/// What can be done to one process of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: the server ends all other sessions as well, and goes into crash recovery.
    Kill,
    /// SIGSTOP: the session is silent, and its connection stays open.
    Stop,
    /// SIGCONT: the session goes on.
    Continue,
}

impl Server {
    /// The one server that everybody in this process shares who does nothing to the server as a whole.
    ///
    /// # Errors
    /// What prevented it from being started, told again to each who asks.
    pub fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: OnceLock<Result<Server, ServerError>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// A server of one's own, to do anything to.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left running.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// A server of one's own with further settings, as in `postgresql.conf`.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left running.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        Self::start_on(&free_ports(), settings)
    }

    /// The same on the first of these ports that nobody has.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left running.
    pub fn start_on(ports: &[u16], settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let place = Place::of_this_process()?;
        let (name, folder) = place.cluster()?;
        // From here on its drop removes the cluster.
        let mut server = Self { place, name, folder, port: 0, postmaster: Mutex::new(None) };
        let text = settings::text(&server.name, &server.folder, settings);
        let file = OpenOptions::new().append(true).open(server.data_directory().join("postgresql.conf"));
        file.and_then(|mut it| it.write_all(text.as_bytes())).map_err(ServerError::io("write postgresql.conf"))?;
        for &port in ports {
            server.port = port;
            match server.start_again() {
                Err(ServerError::PortTaken { .. }) => {}
                result => return result.map(|()| server),
            }
        }
        Err(ServerError::PortTaken { ports: ports.to_owned() })
    }

    /// How to connect over TCP. Beware: sqlx shows the password when these options are printed with `{:?}`.
    pub fn tcp(&self) -> PgConnectOptions {
        self.options().host(&Ipv4Addr::LOCALHOST.to_string())
    }

    /// How to connect over the Unix socket. Beware: sqlx shows the password when these options are printed with `{:?}`.
    pub fn socket(&self) -> PgConnectOptions {
        self.options().socket(&self.folder)
    }

    /// Where it listens, also while it is down.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where its files are, for which the server's own `data_directory` can be compared.
    pub fn data_directory(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The major version, for instance 15.
    pub fn version(&self) -> u32 {
        self.place.binaries().version()
    }

    /// Stops it and starts it again, on the same port.
    ///
    /// # Errors
    /// Those of [`Server::stop`] and [`Server::start_again`].
    pub fn restart(&self, how: Shutdown) -> Result<(), ServerError> {
        self.stop(how)?;
        self.start_again()
    }

    /// Stops it; none of its processes is left. Frozen sessions are woken for it, or a fast shutdown would wait for them.
    ///
    /// # Errors
    /// [`ServerError::NotRunning`], [`ServerError::NotOurs`] (nothing was done), or [`ServerError::TooSlow`] (it was killed).
    pub fn stop(&self, how: Shutdown) -> Result<(), ServerError> {
        let mut postmaster = self.lock();
        let child = postmaster.as_mut().ok_or(ServerError::NotRunning)?;
        let pid = self.certify(child)?;
        let ended = self.end(child, pid, how);
        if child.try_wait().is_ok_and(|it| it.is_some()) {
            *postmaster = None;
        }
        ended
    }

    /// Starts it after [`Server::stop`], and waits until it accepts connections.
    ///
    /// # Errors
    /// [`ServerError::Running`], [`ServerError::PortTaken`], [`ServerError::Died`], [`ServerError::TooSlow`].
    pub fn start_again(&self) -> Result<(), ServerError> {
        let mut postmaster = self.lock();
        if let Some(child) = postmaster.as_mut()
            && child.try_wait().is_ok_and(|it| it.is_none())
        {
            return Err(ServerError::Running);
        }
        let (path, begin) = (self.log(), log::length(&self.log()));
        let log = || File::options().create(true).append(true).open(&path).map_err(ServerError::io("open the log"));
        let mut command = self.place.command(&self.place.binaries().program("postgres"));
        command.arg("-D").arg(self.data_directory()).arg("-p").arg(self.port.to_string());
        command.stdout(log()?).stderr(log()?);
        let mut child = self.place.spawn(&mut command)?;
        let ready = self.await_ready(&mut child, begin);
        *postmaster = ready.is_ok().then_some(child);
        ready
    }

    /// Signals one process of this server, usually the backend of a session.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`] unless it is a child of the server that we started; [`ServerError::NotRunning`].
    pub fn signal_backend(&self, pid: i32, signal: Signal) -> Result<(), ServerError> {
        let not_ours = |why: String| ServerError::NotOurs { pid, why };
        let mut postmaster = self.lock();
        let child = postmaster.as_mut().ok_or(ServerError::NotRunning)?;
        let parent = self.certify(child)?;
        let found = if pid > 0 { processes::one(pid) } else { Ok(None) };
        match found.map_err(ServerError::io("look at the table of processes"))? {
            None => return Err(not_ours("there is no such process".into())),
            Some(Process { ended: true, .. }) => return Err(not_ours("it has ended".into())),
            Some(Process { parent: other, .. }) if other != parent => {
                return Err(not_ours(format!("its parent is process {other}, and the private server is {parent}")));
            }
            Some(_) => {}
        }
        let signal = match signal {
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
        };
        send(pid, signal)
    }

    /// The pids of all its processes that have not ended, whoever their parent is by now: what a killed server left behind
    /// would be among them.
    ///
    /// # Errors
    /// [`ServerError::Io`] if the table of processes cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, ServerError> {
        let all = processes::all().map_err(ServerError::io("look at the table of processes"))?;
        let title = format!("postgres: {}: ", self.name);
        let data = format!(" -D {}", self.data_directory().display());
        // A child that was made just now still has its parent's command line.
        let belongs = |it: &Process| !it.ended && (it.title.starts_with(&title) || it.title.contains(&data));
        Ok(all.iter().filter(|it| belongs(it)).map(|it| it.pid).collect())
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> Vec<String> {
        log::lines(&self.log(), 0, self.place.password())
    }

    fn options(&self) -> PgConnectOptions {
        // Without encryption: what the proxy sees has to be readable, and nothing leaves this machine.
        PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(USER)
            .password(self.place.password())
            .database(USER)
            .application_name("unstale")
            .ssl_mode(PgSslMode::Disable)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        // What a panic interrupted left either a process or none; both are looked at before anything is done.
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pid of our server, proved: the process that we started still runs, and says in the cluster that it has it.
    fn certify(&self, child: &mut Child) -> Result<i32, ServerError> {
        if child.try_wait().map_err(ServerError::io("look at the server"))?.is_some() {
            return Err(ServerError::NotRunning);
        }
        let pid = pid_of(child);
        let says = PidFile::read(&self.data_directory());
        match says {
            Some(file) if file.pid == pid && file.data == self.data_directory() => Ok(pid),
            Some(file) => Err(ServerError::NotOurs {
                pid,
                why: format!("postmaster.pid names process {} in `{}`", file.pid, file.data.display()),
            }),
            None => Err(ServerError::NotOurs { pid, why: "there is no postmaster.pid in the cluster".into() }),
        }
    }

    fn await_ready(&self, child: &mut Child, log_begin: u64) -> Result<(), ServerError> {
        let begin = Instant::now();
        let tail = || log::tail(&self.log(), log_begin, self.place.password());
        loop {
            if child.try_wait().map_err(ServerError::io("wait for the server"))?.is_some() {
                let log = tail();
                return Err(match log.contains("Address already in use") {
                    true => ServerError::PortTaken { ports: vec![self.port] },
                    false => ServerError::Died { log },
                });
            }
            let pid = pid_of(child);
            if PidFile::read(&self.data_directory()).is_some_and(|it| it.pid == pid && it.ready) {
                return Ok(());
            }
            if begin.elapsed() >= START_MAX {
                let log = tail();
                self.kill_all(child, pid)?;
                return Err(ServerError::TooSlow { what: "starting the server", seconds: START_MAX.as_secs(), log });
            }
            thread::sleep(LOOK);
        }
    }

    fn end(&self, child: &mut Child, pid: i32, how: Shutdown) -> Result<(), ServerError> {
        let signal = match how {
            Shutdown::Fast => rustix::process::Signal::INT,
            Shutdown::Immediate => rustix::process::Signal::QUIT,
            Shutdown::Kill => return self.kill_all(child, pid),
        };
        send(pid, signal)?;
        for session in self.children(pid)? {
            // It may have ended meanwhile.
            let _ = send(session, rustix::process::Signal::CONT);
        }
        if ended_within(child, STOP_MAX).map_err(ServerError::io("wait for the server"))? {
            return self.await_none();
        }
        let log = self.log_tail().join("\n");
        self.kill_all(child, pid)?;
        Err(ServerError::TooSlow { what: "stopping the server", seconds: STOP_MAX.as_secs(), log })
    }

    /// Kills the server that is this child of ours, with all its children.
    fn kill_all(&self, child: &mut Child, pid: i32) -> Result<(), ServerError> {
        // 1. Stopped, it makes no further children, and their pids are not given to others: it would have to reap them first.
        send(pid, rustix::process::Signal::STOP)?;
        // 2. A child may have been made just before; so until none is left.
        let begin = Instant::now();
        loop {
            let children = self.children(pid)?;
            if children.is_empty() || begin.elapsed() >= KILL_MAX {
                break;
            }
            for child in children {
                let _ = send(child, rustix::process::Signal::KILL);
            }
            thread::sleep(LOOK);
        }
        // 3. Itself.
        child.kill().and_then(|()| child.wait()).map_err(ServerError::io("kill the server"))?;
        self.await_none()
    }

    /// Waits until no process is left.
    fn await_none(&self) -> Result<(), ServerError> {
        let begin = Instant::now();
        while !self.processes()?.is_empty() {
            if begin.elapsed() >= KILL_MAX {
                let (what, seconds) = ("ending the server's processes", KILL_MAX.as_secs());
                return Err(ServerError::TooSlow { what, seconds, log: self.log_tail().join("\n") });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The pids of a server's children that have not ended.
    fn children(&self, parent: i32) -> Result<Vec<i32>, ServerError> {
        let all = processes::all().map_err(ServerError::io("look at the table of processes"))?;
        Ok(all.iter().filter(|it| it.parent == parent && !it.ended).map(|it| it.pid).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.place.clean(&self.folder, &self.name);
        if let Some(mut child) = self.lock().take() {
            // It has ended, and is only waited for so that its entry goes; one that has not is left to the watcher.
            let _ = ended_within(&mut child, LOOK);
        }
    }
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("folder", &self.folder).field("port", &self.port).finish_non_exhaustive()
    }
}

/// What a server says of itself in its cluster: line 1 is its pid, 2 its folder, 8 its state.
/// (<https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/utils/pidfile.h>)
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

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a pid of Unix is an i32")
}

fn send(pid: i32, signal: rustix::process::Signal) -> Result<(), ServerError> {
    let pid = Some(pid).filter(|it| *it > 0).and_then(Pid::from_raw);
    let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |it| kill_process(it, signal));
    sent.map_err(|error| ServerError::io("signal a process of the server")(error.into()))
}

/// Ports that nobody had just now. The server says whether that is still so.
fn free_ports() -> Vec<u16> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Where hardly any port is free the server may say so.
    std::iter::repeat_with(|| rand::random_range(PORTS)).take(200).filter(free).take(PORTS_MAX).collect()
}

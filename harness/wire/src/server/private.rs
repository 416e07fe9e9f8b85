//! The private server itself: how it is started, stopped, restarted and signalled.
//!
//! Owns a cluster while it lives, and every wait for its server. What a folder and a child process are is in files of their own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::ServerError;
use super::place::{Place, USER};
use super::postmaster::{KILL_MAX, LOOK, Postmaster};
use super::{log, processes, settings};

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

/// A private server with its cluster. Both are gone once it is dropped, or the process has ended in any way.
///
/// Its superuser and its database are called `unstale`. It asks everybody for a password.
pub struct Server {
    place: &'static Place,
    name: String,
    folder: PathBuf,
    port: u16,
    /// None while it is down.
    postmaster: Mutex<Option<Postmaster>>,
    /// How many wish that its file of settings says that sessions are read-only.
    read_only: Mutex<usize>,
}

/// What the file of settings says then.
const READ_ONLY: &str = "default_transaction_read_only = on\n";

/// A way to end a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are terminated and told so, and the server writes a checkpoint.
    Fast,
    /// Sessions are ended with a warning; crash recovery follows.
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
    /// SIGHUP: the session reads the settings again, before it looks at the next message.
    Reload,
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

    /// As [`Server::start_with`], on the first free one of these ports.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left running.
    pub fn start_on(ports: &[u16], settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let place = Place::of_this_process()?;
        let (name, folder) = place.cluster()?;
        // From here on its drop removes the cluster.
        let mut server = Self { place, name, folder, port: 0, postmaster: Mutex::new(None), read_only: Mutex::new(0) };
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
        let mut running = self.lock();
        let postmaster = running.as_mut().ok_or(ServerError::NotRunning)?;
        postmaster.certify()?;
        let ended = self.end(postmaster, how);
        if postmaster.has_ended()? {
            *running = None;
        }
        ended
    }

    /// Starts it after [`Server::stop`], and waits until it accepts connections.
    ///
    /// # Errors
    /// [`ServerError::Running`], [`ServerError::PortTaken`], [`ServerError::Died`], [`ServerError::TooSlow`].
    pub fn start_again(&self) -> Result<(), ServerError> {
        let mut running = self.lock();
        if let Some(postmaster) = running.as_mut()
            && !postmaster.has_ended()?
        {
            return Err(ServerError::Running);
        }
        // No session of before is there any more, and new ones are writable.
        self.write_altered("")?;
        let (path, begin) = (self.log(), log::length(&self.log()));
        let log = || File::options().create(true).append(true).open(&path).map_err(ServerError::io("open the log"));
        let mut command = self.place.command(&self.place.binaries().program("postgres"));
        command.arg("-D").arg(self.data_directory()).arg("-p").arg(self.port.to_string());
        command.stdout(log()?).stderr(log()?);
        let mut postmaster = Postmaster::new(self.place.spawn(&mut command)?, self.data_directory());
        self.await_ready(&mut postmaster, begin)?;
        *running = Some(postmaster);
        Ok(())
    }

    /// Signals one process of this server, usually the backend of a session.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`] unless it is a child of the server that we started; [`ServerError::NotRunning`].
    pub fn signal_backend(&self, pid: i32, signal: Signal) -> Result<(), ServerError> {
        let mut running = self.lock();
        let postmaster = running.as_mut().ok_or(ServerError::NotRunning)?;
        postmaster.certify()?;
        let signal = match signal {
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
            Signal::Reload => rustix::process::Signal::HUP,
        };
        postmaster.signal_child(pid, signal)
    }

    /// From now on, and until as many calls of [`Server::end_read_only`], sessions that are told to [`Signal::Reload`] are
    /// read-only, and no others: a session that is opened later has the settings with which the server was started.
    ///
    /// # Errors
    /// [`ServerError::Io`] if the file of settings cannot be written.
    pub fn begin_read_only(&self) -> Result<(), ServerError> {
        let mut users = self.read_only.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_altered(READ_ONLY)?;
        *users += 1;
        Ok(())
    }

    /// Sessions that read the settings again are writable, unless there is another [`Server::begin_read_only`] that has not ended.
    pub fn end_read_only(&self) {
        let mut users = self.read_only.lock().unwrap_or_else(PoisonError::into_inner);
        *users = users.saturating_sub(1);
        if *users == 0 {
            // It fails if the cluster is gone. What is left in the file is read by nobody who is not told to.
            let _ = self.write_altered("");
        }
    }

    /// Writes the file that comes after `postgresql.conf`, whole or not at all.
    fn write_altered(&self, text: &str) -> Result<(), ServerError> {
        let data = self.data_directory();
        let (fresh, file) = (data.join("postgresql.auto.conf.fresh"), data.join("postgresql.auto.conf"));
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file));
        written.map_err(ServerError::io("write postgresql.auto.conf"))
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
        let belongs =
            |it: &&processes::Process| !it.ended && (it.title.starts_with(&title) || it.title.contains(&data));
        Ok(all.iter().filter(belongs).map(|it| it.pid).collect())
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

    fn lock(&self) -> MutexGuard<'_, Option<Postmaster>> {
        // What a panic interrupted left either a process or none; both are looked at before anything is done.
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, postmaster: &mut Postmaster, how: Shutdown) -> Result<(), ServerError> {
        match how {
            Shutdown::Fast => postmaster.signal(rustix::process::Signal::INT)?,
            Shutdown::Immediate => postmaster.signal(rustix::process::Signal::QUIT)?,
            Shutdown::Kill => {
                postmaster.kill()?;
                return self.await_none();
            }
        }
        postmaster.wake_children()?;
        if postmaster.ended_within(STOP_MAX)? {
            return self.await_none();
        }
        let log = self.log_tail().join("\n");
        postmaster.kill()?;
        Err(ServerError::TooSlow { what: "stopping the server", seconds: STOP_MAX.as_secs(), log })
    }

    fn await_ready(&self, postmaster: &mut Postmaster, log_begin: u64) -> Result<(), ServerError> {
        let begin = Instant::now();
        let tail = || log::tail(&self.log(), log_begin, self.place.password());
        while !postmaster.is_ready() {
            if postmaster.has_ended()? {
                let log = tail();
                return Err(if log.contains("Address already in use") {
                    ServerError::PortTaken { ports: vec![self.port] }
                } else {
                    ServerError::Died { log }
                });
            }
            if begin.elapsed() >= START_MAX {
                let log = tail();
                postmaster.kill()?;
                return Err(ServerError::TooSlow { what: "starting the server", seconds: START_MAX.as_secs(), log });
            }
            thread::sleep(LOOK);
        }
        Ok(())
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.place.clean(&self.folder, &self.name);
        if let Some(mut postmaster) = self.lock().take() {
            // It has ended, and is only waited for so that its entry goes; one that has not is left to the watcher.
            let _ = postmaster.ended_within(LOOK);
        }
    }
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("folder", &self.folder).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Returns ports that were free just now; only the server's start shows whether they still are.
fn free_ports() -> Vec<u16> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Where hardly any port is free the server may say so.
    std::iter::repeat_with(|| rand::random_range(PORTS)).take(200).filter(free).take(PORTS_MAX).collect()
}

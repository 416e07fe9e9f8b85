//! The private PostgreSQL server: what it can do, what it refuses, and that nothing of it is left behind.
//!
//! Some tests start this program once more, as a process that can be killed: see `child`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use unstale_wire::server::{Server, ServerError, Shutdown, Signal};
use unstale_wire::trial;
use unstale_wire::trials::{self, Trial};

/// Says what this program does when it is started once more.
const CHILD: &str = "UNSTALE_SERVER_CHILD";

/// What this program does instead of testing, if it was started once more by one of the tests.
pub(crate) fn as_child() -> Option<ExitCode> {
    std::env::var(CHILD).ok().map(|what| child(&what))
}

pub(crate) fn trials() -> Vec<Trial> {
    let no_proc = (!Path::new("/proc/self/stat").exists()).then(|| "needs /proc, to see what is left".to_owned());
    let not_root = (!is_root()).then(|| "needs root, to give rights up".to_owned());
    let no_setpriv = which("setpriv").is_none().then(|| "needs `setpriv` of util-linux".to_owned());
    vec![
        trial!(server_answers_over_tcp_and_socket),
        trial!(nobody_comes_in_without_the_password),
        trial!(password_is_written_nowhere),
        trial!(further_settings_are_taken),
        trial!(what_was_committed_survives_every_restart),
        trial!(frozen_backend_is_silent_until_it_is_woken),
        trial!(killed_backend_takes_the_others_along_and_the_server_recovers),
        trial!(frozen_backend_holds_no_shutdown_up),
        trial!(process_of_somebody_else_is_not_signalled),
        trial!(stopped_server_can_only_be_started),
        trial!(port_that_is_taken_is_passed_over_at_first_and_told_later),
        trial!(server_that_dies_at_start_shows_its_log),
        trial!(dropped_server_leaves_nothing).ignored_because(no_proc.clone()),
        trial!(killed_process_leaves_nothing).ignored_because(no_proc.clone()),
        trial!(panic_leaves_nothing).ignored_because(no_proc.clone()),
        trial!(process_killed_while_it_makes_a_cluster_leaves_nothing).ignored_because(no_proc.clone()),
        trial!(wrong_folder_for_binaries_is_told_to_everybody_who_asks),
        trial!(test_that_panics_fails_and_the_others_run),
        trial!(ordinary_user_needs_no_switch).ignored_because(not_root.clone().or(no_proc)),
        trial!(refused_switch_of_user_is_one_clear_error).ignored_because(not_root.or(no_setpriv)),
    ]
}

async fn server_answers_over_tcp_and_socket() {
    let server = Server::shared().unwrap();
    for options in [server.tcp(), server.socket()] {
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let answer =
            ask(&mut connection, "select concat_ws(' ', user, current_database(), current_setting('data_directory'))");
        assert_eq!(answer.await.unwrap(), format!("unstale unstale {}", server.data_directory().display()));
        assert!(ask(&mut connection, "show server_version").await.unwrap().starts_with(&server.version().to_string()));
        connection.close().await.unwrap();
    }
}

async fn nobody_comes_in_without_the_password() {
    let server = Server::shared().unwrap();
    for options in [server.tcp(), server.socket()] {
        let error = PgConnection::connect_with(&options.clone().password("wrong")).await.unwrap_err();
        let code = error.as_database_error().and_then(|it| it.code()).map(|it| it.into_owned());
        assert_eq!(code.as_deref(), Some("28P01"), "{error}");
        // `postgres` is a database that every cluster has.
        let error = PgConnection::connect_with(&options.database("postgres").password("")).await.unwrap_err();
        assert!(!matches!(error, sqlx::Error::Io(_)), "{error}");
    }
}

async fn password_is_written_nowhere() {
    let server = Server::start().unwrap();
    let password = password(&server);
    assert!(password.len() >= 32, "128 bits");
    let options = server.tcp().password("wrong");
    let error = PgConnection::connect_with(&options).await.unwrap_err();
    let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
    let failed = ask(&mut connection, "select nonsense").await.unwrap_err();
    for text in [format!("{server:?}"), format!("{error:?}"), format!("{failed:?}"), server.log_tail().join("\n")] {
        assert!(!text.contains(&password), "{text}");
    }
    // Everything that this process has made, the other clusters and what they were copied from too.
    let place = server.data_directory().ancestors().nth(2).unwrap().to_owned();
    assert!(!holds(&place, password.as_bytes()));
    assert!(holds(&place, b"password_encryption"), "the search finds what is there");
    for pid in server.processes().unwrap() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!contains(&text, password.as_bytes()), "{file} of {pid}");
        }
    }
}

async fn further_settings_are_taken() {
    let server = Server::start_with(&[("max_connections", "12"), ("synchronous_commit", "local")]).unwrap();
    let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
    assert_eq!(ask(&mut connection, "show max_connections").await.unwrap(), "12");
    assert_eq!(ask(&mut connection, "show synchronous_commit").await.unwrap(), "local");
    let mut connection = PgConnection::connect_with(&Server::shared().unwrap().tcp()).await.unwrap();
    assert_eq!(ask(&mut connection, "show synchronous_commit").await.unwrap(), "on");
}

async fn what_was_committed_survives_every_restart() {
    let server = Server::start().unwrap();
    let address = server.address();
    let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
    sqlx::query("create table t (n int)").execute(&mut connection).await.unwrap();
    for (number, how) in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill].into_iter().enumerate() {
        for statement in ["insert into t values (1)", "begin", "insert into t values (1)"] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let before = server.processes().unwrap();
        server.restart(how).unwrap();
        let after = server.processes().unwrap();
        assert!(!after.is_empty() && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
        assert_eq!(server.address(), address);
        ask(&mut connection, "select '1'").await.unwrap_err();
        connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
        let count = ask(&mut connection, "select count(*)::text from t").await.unwrap();
        assert_eq!(count, (number + 1).to_string(), "{how:?}");
    }
}

async fn frozen_backend_is_silent_until_it_is_woken() {
    let server = Server::start().unwrap();
    let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
    let pid = backend(&mut connection).await;
    server.signal_backend(pid, Signal::Stop).unwrap();
    let mut question = Box::pin(ask(&mut connection, "select 'awake'"));
    tokio::time::timeout(Duration::from_millis(200), &mut question).await.unwrap_err();
    server.signal_backend(pid, Signal::Continue).unwrap();
    assert_eq!(question.await.unwrap(), "awake");
}

async fn killed_backend_takes_the_others_along_and_the_server_recovers() {
    let server = Server::start().unwrap();
    let mut killed = PgConnection::connect_with(&server.tcp()).await.unwrap();
    let mut other = PgConnection::connect_with(&server.socket()).await.unwrap();
    server.signal_backend(backend(&mut killed).await, Signal::Kill).unwrap();
    // Once another session has lost its backend the server knows of it, and lets nobody in until it has recovered.
    let begin = Instant::now();
    let (mut lost, mut answer) = (false, None);
    while answer.is_none() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
        lost = lost || ask(&mut other, "select ''").await.is_err();
        if lost && let Ok(mut fresh) = PgConnection::connect_with(&server.tcp()).await {
            answer = ask(&mut fresh, "select 'recovered'").await.ok();
        }
    }
    ask(&mut killed, "select ''").await.unwrap_err();
    // All of it, since everybody who was not let in is in it as well.
    let log = fs::read_to_string(server.data_directory().with_file_name("log")).unwrap();
    assert!(log.contains("was terminated by signal 9"), "{log}");
}

async fn frozen_backend_holds_no_shutdown_up() {
    let server = Server::start().unwrap();
    for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill] {
        let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
        server.signal_backend(backend(&mut connection).await, Signal::Stop).unwrap();
        let begin = Instant::now();
        server.stop(how).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(4), "{how:?} took {:?}", begin.elapsed());
        assert_eq!(server.processes().unwrap(), [0; 0]);
        server.start_again().unwrap();
    }
}

async fn process_of_somebody_else_is_not_signalled() {
    let (server, other) = (Server::start().unwrap(), Server::shared().unwrap());
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let mut connection = PgConnection::connect_with(&other.tcp()).await.unwrap();
    let foreign = backend(&mut connection).await;
    let sleeping = i32::try_from(sleeper.id()).unwrap();
    // What would do harm if it were let through is only woken.
    for (pid, signal) in [(sleeping, Signal::Kill), (foreign, Signal::Kill), (1, Signal::Continue)] {
        let error = server.signal_backend(pid, signal).unwrap_err();
        assert!(matches!(error, ServerError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains("its parent is process "), "{error}");
    }
    for pid in [0, -1, -sleeping, i32::MAX, i32::MIN] {
        let error = server.signal_backend(pid, Signal::Continue).unwrap_err();
        assert!(error.to_string().contains("there is no such process"), "{error}");
    }
    let itself = server_pid(&server);
    let error = server.signal_backend(itself, Signal::Kill).unwrap_err();
    assert!(error.to_string().contains("use `stop`"), "{error}");

    assert!(sleeper.try_wait().unwrap().is_none(), "it still runs");
    assert_eq!(backend(&mut connection).await, foreign);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let text = server.signal_backend(sleeping, Signal::Kill).unwrap_err().to_string();
    assert!(text.starts_with(&format!("process {sleeping} was not signalled, because ")), "{text}");

    // Somebody else's pid in the cluster: then the server is not proved to be ours either.
    let file = server.data_directory().join("postmaster.pid");
    let content = fs::read_to_string(&file).unwrap();
    fs::write(&file, content.replacen(&itself.to_string(), "1", 1)).unwrap();
    for error in [server.stop(Shutdown::Kill).unwrap_err(), server.signal_backend(itself, Signal::Stop).unwrap_err()] {
        assert!(matches!(error, ServerError::NotOurs { .. }), "{error}");
    }
    fs::write(&file, content).unwrap();
    server.stop(Shutdown::Fast).unwrap();
}

async fn stopped_server_can_only_be_started() {
    let server = Server::start().unwrap();
    assert!(matches!(server.start_again(), Err(ServerError::Running)));
    server.stop(Shutdown::Fast).unwrap();
    assert_eq!(server.processes().unwrap(), [0; 0]);
    assert!(matches!(server.stop(Shutdown::Kill), Err(ServerError::NotRunning)));
    assert!(matches!(server.restart(Shutdown::Fast), Err(ServerError::NotRunning)));
    assert!(matches!(server.signal_backend(1, Signal::Kill), Err(ServerError::NotRunning)));
    server.start_again().unwrap();
    PgConnection::connect_with(&server.tcp()).await.unwrap();
}

async fn port_that_is_taken_is_passed_over_at_first_and_told_later() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Server::start_on(&[port, port], &[]).unwrap_err();
    assert!(matches!(error, ServerError::PortTaken { .. }), "{error}");
    assert!(error.to_string().contains(&format!("tried {port}, {port}")), "{error}");

    let free = (12_000..32_000).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let server = Server::start_on(&[port, free], &[]).unwrap();
    assert_eq!(server.address().port(), free);
    server.stop(Shutdown::Fast).unwrap();
    let taken = TcpListener::bind(server.address()).unwrap();
    let error = server.start_again().unwrap_err();
    assert!(matches!(error, ServerError::PortTaken { .. }), "{error}");
    drop(taken);
    server.start_again().unwrap();
}

async fn server_that_dies_at_start_shows_its_log() {
    for (name, value) in [("shared_buffers", "nonsense"), ("no_such_setting", "1")] {
        let error = Server::start_with(&[(name, value)]).unwrap_err();
        assert!(matches!(error, ServerError::Died { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

async fn dropped_server_leaves_nothing() {
    // Stopped in each way and dropped; the last one runs.
    for how in [Some(Shutdown::Fast), Some(Shutdown::Kill), None] {
        let server = Server::start().unwrap();
        let mut connection = PgConnection::connect_with(&server.tcp()).await.unwrap();
        server.signal_backend(backend(&mut connection).await, Signal::Stop).unwrap();
        let (pids, folder) = (server.processes().unwrap(), server.data_directory().parent().unwrap().to_owned());
        let memory = shared_memory(&server);
        assert!(pids.len() >= 5 && memory_is_there(memory), "{pids:?}");
        if let Some(how) = how {
            server.stop(how).unwrap();
        }
        let begin = Instant::now();
        drop(server);
        assert!(begin.elapsed() < Duration::from_secs(4), "{how:?}: {:?}", begin.elapsed());
        assert!(!folder.exists());
        assert_eq!(pids.into_iter().filter(|it| runs(*it)).collect::<Vec<_>>(), [0; 0]);
        assert!(!memory_is_there(memory), "{how:?}");
    }
}

async fn killed_process_leaves_nothing() {
    use rustix::process::Signal;
    for signal in [Signal::KILL, Signal::TERM, Signal::INT].into_iter().filter(|signal| !is_ignored(*signal)) {
        let (mut process, left) = Left::behind_by("wait");
        assert!(left.is_there());
        send(&process, signal);
        process.wait().unwrap();
        left.await_nothing();
    }
}

/// Whether this process ignores the signal, as jobs that a shell runs in the background ignore INT; so do its children, which
/// then end by none.
fn is_ignored(signal: rustix::process::Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let is_ignored = u64::from_str_radix(ignored.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0;
    if is_ignored {
        println!("{signal:?} is not tried: this process ignores it");
    }
    is_ignored
}

async fn panic_leaves_nothing() {
    let (mut process, left) = Left::behind_by("panic");
    assert_eq!(process.wait().unwrap().code(), Some(101));
    left.await_nothing();
}

async fn process_killed_while_it_makes_a_cluster_leaves_nothing() {
    for milliseconds in [30, 100, 300] {
        let mut process = start_child("wait");
        let begin = Instant::now();
        let watcher = loop {
            if let Some(it) = watcher_of(&process) {
                break it;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "it has a watcher");
        };
        std::thread::sleep(Duration::from_millis(milliseconds));
        send(&process, rustix::process::Signal::KILL);
        process.wait().unwrap();
        Left { folders: vec![watcher.1], pids: vec![watcher.0] }.await_nothing();
    }
}

async fn wrong_folder_for_binaries_is_told_to_everybody_who_asks() {
    let output = child_command("errors").env("UNSTALE_PG_BIN", "/nowhere").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0] == lines[1] && lines[0].contains("`/nowhere`, and there is no `postgres` in it"), "{text}");

    let output = child_command("trials").env("UNSTALE_PG_BIN", "/nowhere").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("`/nowhere`, and there is no `postgres` in it"), "{text}");
}

async fn test_that_panics_fails_and_the_others_run() {
    let output = child_command("trials").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(101), "{text}");
    let line = |name: &str| text.lines().find(|line| line.starts_with("test ") && line.contains(name)).unwrap_or("");
    assert!(line("panics").ends_with("FAILED"), "{text}");
    assert!(line("passes").ends_with("ok"), "{text}");
    assert!(line("is_ignored").ends_with("ignored (because)"), "{text}");
    assert!(text.contains("as it should"), "{text}");
}

async fn ordinary_user_needs_no_switch() {
    // The folder in which this file was built may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("test");
    // By another process: a program that this one has open for writing cannot be run, and a test that starts something just
    // then has it open too for a moment.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    const NOBODY: u32 = 65534;
    let mut command = Command::new(copy);
    command.env(CHILD, "wait").uid(NOBODY).gid(NOBODY).current_dir("/").stdout(Stdio::piped());
    let (mut process, left) = Left::read(command.spawn().unwrap());
    for pid in &left.pids {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), NOBODY);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    left.await_nothing();
}

async fn refused_switch_of_user_is_one_clear_error() {
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-setuid").arg(std::env::current_exe().unwrap()).env(CHILD, "errors");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("PostgreSQL does not run as root, and becoming `"), "{text}");
    assert!(text.contains("run this as another user"), "{text}");
}

/// What this program does when it is started once more.
fn child(what: &str) -> ExitCode {
    async fn passes() {}
    async fn is_ignored() {}
    async fn panics() {
        panic!("as it should");
    }
    match what {
        "errors" => {
            for _ in 0..2 {
                println!("{}", Server::shared().expect_err("it was prevented"));
            }
            return ExitCode::FAILURE;
        }
        "trials" => {
            let ignored = trial!(is_ignored).ignored_because(Some("because".into()));
            return trials::run([trial!(panics), trial!(passes, threads = 2), ignored]);
        }
        _ => {}
    }
    let servers = [Server::shared().unwrap(), &Server::start().unwrap()];
    for server in servers {
        println!("folder {}", server.data_directory().ancestors().nth(2).unwrap().display());
        for pid in server.processes().unwrap() {
            println!("pid {pid}");
        }
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    assert_eq!(what, "wait", "this panic is wanted");
    loop {
        std::thread::park();
    }
}

fn child_command(what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, what).stderr(Stdio::null());
    command
}

fn start_child(what: &str) -> Child {
    child_command(what).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a process has made, and must not leave behind.
struct Left {
    folders: Vec<PathBuf>,
    pids: Vec<i32>,
}

impl Left {
    fn behind_by(what: &str) -> (Child, Self) {
        Self::read(start_child(what))
    }

    fn read(mut process: Child) -> (Child, Self) {
        let mut left = Self { folders: Vec::new(), pids: Vec::new() };
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            match line.unwrap().split_once(' ') {
                Some(("folder", folder)) => left.folders.push(folder.into()),
                Some(("pid", pid)) => left.pids.push(pid.parse().unwrap()),
                _ => break,
            }
        }
        assert!(left.folders.len() == 2 && left.pids.len() >= 8, "{:?} {:?}", left.folders, left.pids);
        (process, left)
    }

    fn is_there(&self) -> bool {
        self.folders.iter().all(|it| it.exists()) && self.pids.iter().all(|it| runs(*it))
    }

    fn await_nothing(&self) {
        let begin = Instant::now();
        while self.folders.iter().any(|it| it.exists()) || self.pids.iter().any(|it| runs(*it)) {
            let pids: Vec<&i32> = self.pids.iter().filter(|it| runs(**it)).collect();
            assert!(begin.elapsed() < Duration::from_secs(20), "{:?} {pids:?} are left", self.folders);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn ask(connection: &mut PgConnection, question: &'static str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(question).fetch_one(connection).await
}

async fn backend(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await.unwrap()
}

fn password(server: &Server) -> String {
    let options: PgConnectOptions = server.tcp();
    options.to_url_lossy().password().unwrap().to_owned()
}

fn pid_file_line(server: &Server, number: usize) -> String {
    let text = fs::read_to_string(server.data_directory().join("postmaster.pid")).unwrap();
    text.lines().nth(number - 1).unwrap().to_owned()
}

fn server_pid(server: &Server) -> i32 {
    pid_file_line(server, 1).parse().unwrap()
}

/// The number of the server's segment of shared memory, which the system keeps until it is removed.
fn shared_memory(server: &Server) -> u32 {
    pid_file_line(server, 7).split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn memory_is_there(number: u32) -> bool {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(&number.to_string()))
}

/// Whether a process runs; one that has ended and was not waited for does not.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The watcher that a process has started, with the folder it watches.
fn watcher_of(process: &Child) -> Option<(i32, PathBuf)> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    let watcher = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()?;
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<&str> = line.split('\0').collect();
        let at = arguments.iter().position(|it| *it == "unstale-cleaner")?;
        (parent == process.id()).then(|| (pid, PathBuf::from(arguments[at + 1])))
    };
    pids.filter_map(watcher).next()
}

fn send(process: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(process);
    rustix::process::kill_process(pid, signal).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|it| it.join(program)).find(|it| it.is_file())
}

/// Whether a file in this folder, or below it, has these bytes in it.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| match entry.file_type() {
        Ok(it) if it.is_dir() => holds(&entry.path(), bytes),
        Ok(it) if it.is_file() => contains(&fs::read(entry.path()).unwrap_or_default(), bytes),
        _ => false,
    })
}

fn contains(text: &[u8], bytes: &[u8]) -> bool {
    text.windows(bytes.len()).any(|it| it == bytes)
}

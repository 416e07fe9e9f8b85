//! The files that the command reads and writes.
//!
//! Owns that an error names what a file was read as, that a profile's numbers are in their ranges, and that a place which
//! cannot be written is refused before a run. What is in a file is [`unstale_harness`]'s business.

use std::fs::OpenOptions;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use unstale_harness::explore::write_atomically;
use unstale_harness::generate::Profile;
use unstale_harness::known::{KnownCause, KnownFile};
use unstale_harness::plan::{ACTORS_MAX, CONNECTIONS_MAX, PlanError, PlanFile};
use unstale_harness::report::{Section, html};
use unstale_harness::scenario::{ProfileFile, Scenario};

use crate::console::Console;
use crate::error::CommandError;

/// What to do about a report that cannot be written.
const OTHER_REPORT: &str = "give another file with --report";

/// What to do about a file of known causes that cannot be written.
const OTHER_KNOWN: &str = "give another file with --write-known";

/// What to do about a folder that cannot be written.
const OTHER_FOLDER: &str = "give another folder with --out";

/// Reads a plan.
///
/// # Errors
/// It cannot be read, or is none.
pub(crate) fn plan(path: &Path) -> Result<PlanFile, CommandError> {
    PlanFile::read(path).map_err(|error| unreadable("plan", error))
}

/// Reads a scenario: a plan or a profile, with the verdict that it must give.
///
/// # Errors
/// It cannot be read, or is none.
pub(crate) fn scenario(path: &Path) -> Result<Scenario, CommandError> {
    let scenario = Scenario::read(path).map_err(|error| unreadable("scenario", error))?;
    if let Scenario::Profile(file) = &scenario {
        in_range(file, path)?;
    }
    Ok(scenario)
}

/// Reads a profile.
///
/// # Errors
/// It cannot be read, or is none.
pub(crate) fn profile(path: &Path) -> Result<Profile, CommandError> {
    match Scenario::read(path).map_err(|error| unreadable("profile", error))? {
        Scenario::Profile(file) => in_range(&file, path).map(|()| file.profile),
        Scenario::Pinned(_) => {
            let path = path.display();
            Err(CommandError::Usage(format!(
                "{path} holds a plan, expected a `[profile]`: try `unstale replay {path}`"
            )))
        }
    }
}

/// Reads the causes that are known.
///
/// # Errors
/// The file cannot be read, or something in it is not as it must be.
pub(crate) fn known(path: &Path) -> Result<Vec<KnownCause>, CommandError> {
    KnownFile::read(path).map(|file| file.causes).map_err(|error| unreadable("file of known causes", error))
}

/// Refuses a file of known causes that could not be written. Nothing is written yet.
///
/// # Errors
/// [`CommandError::Write`].
pub(crate) fn check_known(path: &Path) -> Result<(), CommandError> {
    can_be_overwritten(path).map_err(|source| unwritable(path, source, OTHER_KNOWN))
}

/// Writes a file of known causes. A failure is reported and does not hide the verdict.
pub(crate) fn write_known(path: &Path, causes: Vec<KnownCause>, console: &Console) {
    if let Err(source) = std::fs::write(path, KnownFile { causes }.to_string()) {
        console.fail(unwritable(path, source, OTHER_KNOWN));
    }
}

/// Refuses a folder in which no plan could be written. Nothing is left in it.
///
/// # Errors
/// [`CommandError::Write`].
pub(crate) fn check_folder(path: &Path) -> Result<(), CommandError> {
    can_be_made(path).map_err(|source| unwritable(path, source, OTHER_FOLDER))
}

/// Writes a plan whole, or returns the reason with the plan itself, so that it is not lost.
///
/// # Errors
/// The reason with the plan.
pub(crate) fn write_plan(folder: &Path, name: &str, plan: &PlanFile) -> Result<String, String> {
    match write_atomically(folder, name, &plan.to_string()) {
        Ok(path) => Ok(path.display().to_string()),
        Err(error) => Err(format!("{}: {error}; the plan was:\n{plan}", folder.join(name).display())),
    }
}

/// The HTML file that `--report` asks for, if it does.
pub(crate) struct ReportFile<'a>(Option<&'a Path>);

impl<'a> ReportFile<'a> {
    /// Refuses a file that could not be written. Nothing is written yet.
    ///
    /// # Errors
    /// [`CommandError::Write`].
    pub(crate) fn check(path: Option<&'a Path>) -> Result<Self, CommandError> {
        if let Some(path) = path {
            can_be_overwritten(path).map_err(|source| unwritable(path, source, OTHER_REPORT))?;
        }
        Ok(Self(path))
    }

    /// Writes these sections. A failure is reported and does not hide the verdict.
    pub(crate) fn write(&self, console: &Console, title: &str, sections: impl FnOnce() -> Vec<Section>) {
        if let Some(path) = self.0
            && let Err(source) = std::fs::write(path, html(title, &sections()))
        {
            console.fail(unwritable(path, source, OTHER_REPORT));
        }
    }
}

fn unreadable(what: &'static str, error: PlanError) -> CommandError {
    match error {
        PlanError::Read { path, source } => CommandError::Read { what, path: path.display().to_string(), source },
        text => CommandError::Text(text),
    }
}

fn unwritable(path: &Path, source: io::Error, advice: &'static str) -> CommandError {
    CommandError::Write { path: path.display().to_string(), source, advice }
}

/// Numbers out of their ranges would draw plans that no system can run.
fn in_range(file: &ProfileFile, path: &Path) -> Result<(), CommandError> {
    let profile = &file.profile;
    let actors_max = u8::try_from(ACTORS_MAX).unwrap_or(u8::MAX);
    let within = |name: &str, range: RangeInclusive<u8>, found: u8| {
        let (from, to) = (range.start(), range.end());
        let wrong =
            || CommandError::Usage(format!("{}: expected `{name}` = {from} to {to}, found {found}", path.display()));
        range.contains(&found).then_some(()).ok_or_else(wrong)
    };
    within("actors", 1..=actors_max, profile.actors)?;
    within("steps", 1..=u8::MAX, profile.steps)?;
    within("connections", 1..=CONNECTIONS_MAX, profile.connections)?;
    within("keys", 1..=u8::MAX, profile.keys)?;
    within("gates", 1..=Profile::GATES_MAX, profile.gates)?;
    let missing = match (file.plans, &profile.storage[..]) {
        (0, _) => "`plans` = 1 or more, found 0",
        (_, []) => "at least one `storage`, found none",
        _ => return Ok(()),
    };
    Err(CommandError::Usage(format!("{}: expected {missing}", path.display())))
}

/// Whether this folder can be written, or made where it does not exist.
fn can_be_made(folder: &Path) -> io::Result<()> {
    let existing = folder.ancestors().map(or_current).find(|it| it.exists());
    takes_files(existing.unwrap_or(Path::new(".")))
}

fn can_be_overwritten(file: &Path) -> io::Result<()> {
    match file.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(file).map(drop),
        // A device or a pipe: to open it would already do something to its other end.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            takes_files(or_current(file.parent().unwrap_or(Path::new(""))))
        }
        Err(error) => Err(error),
    }
}

/// Whether a file can be made in this folder; the one that shows it is removed at once.
fn takes_files(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".unstale-{}", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).open(&probe)?;
    std::fs::remove_file(&probe)
}

/// A name alone stands for something in the current folder.
fn or_current(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

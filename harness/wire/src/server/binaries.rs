//! Where PostgreSQL's server programs are, and which version they have.
//!
//! Owns the search. It starts nothing but `postgres --version`, and downloads nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::error::ServerError;

/// The oldest major version that a private server is made with.
pub const VERSION_MIN: u32 = 13;

/// The programs that a private server needs, all in one folder.
const NEEDED: [&str; 2] = ["postgres", "initdb"];

/// Folders whose entries are installations, and where in each the programs are. The newest is taken.
const USUAL: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),         // Debian
    ("/usr", "pgsql-", "bin"),                  // the PostgreSQL project's packages for Red Hat
    ("/opt/homebrew/opt", "postgresql", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
];

/// PostgreSQL's server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// Looks in `UNSTALE_PG_BIN`, and if that is not set in `PATH` and in the usual places of Debian, Red Hat and Homebrew.
    ///
    /// # Errors
    /// [`ServerError::NoBinaries`], [`ServerError::TooOld`] or [`ServerError::WrongFolder`].
    pub fn find() -> Result<Self, ServerError> {
        let named = env::var_os("UNSTALE_PG_BIN").map(PathBuf::from);
        match named {
            Some(folder) => Self::named(folder),
            None => {
                let path = env::var_os("PATH").unwrap_or_default();
                let usual = USUAL.iter().map(|(parent, prefix, bin)| Usual { parent: parent.into(), prefix, bin });
                Self::search(env::split_paths(&path), usual)
            }
        }
    }

    /// The folder that has `postgres` and `initdb`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version, for instance 15.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn named(folder: PathBuf) -> Result<Self, ServerError> {
        if let Some(missing) = NEEDED.iter().find(|name| !folder.join(name).is_file()) {
            return Err(ServerError::WrongFolder { folder, why: format!("there is no `{missing}` in it") });
        }
        match version(&folder) {
            Some((version, _)) if version >= VERSION_MIN => Ok(Self { folder, version }),
            Some((_, found)) => Err(ServerError::TooOld { found, folder, oldest: VERSION_MIN }),
            None => Err(ServerError::WrongFolder { folder, why: "its `postgres` does not say its version".into() }),
        }
    }

    fn search(path: impl Iterator<Item = PathBuf>, usual: impl Iterator<Item = Usual>) -> Result<Self, ServerError> {
        let mut looked = Vec::new();
        let mut too_old = None;
        let mut candidates = Vec::new();
        for folder in path {
            // A link in PATH leads to the folder that has the other programs, and what they need, as well.
            if let Ok(program) = fs::canonicalize(folder.join("postgres")) {
                candidates.extend(program.parent().map(Path::to_owned));
            }
        }
        looked.push(PathBuf::from("PATH"));
        for place in usual {
            candidates.extend(place.folders());
            looked.push(place.parent);
        }
        for folder in candidates {
            if NEEDED.iter().any(|name| !folder.join(name).is_file()) {
                continue;
            }
            match version(&folder) {
                Some((version, _)) if version >= VERSION_MIN => return Ok(Self { folder, version }),
                Some((_, found)) => {
                    too_old = too_old.or(Some(ServerError::TooOld { found, folder, oldest: VERSION_MIN }))
                }
                None => {}
            }
        }
        Err(too_old.unwrap_or(ServerError::NoBinaries { looked }))
    }
}

/// A folder with installations in it.
struct Usual {
    parent: PathBuf,
    prefix: &'static str,
    bin: &'static str,
}

impl Usual {
    /// The folders with programs, newest version first.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.parent).into_iter().flatten().flatten();
        let mut found: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let rest = name.strip_prefix(self.prefix)?.trim_start_matches('@');
                // Homebrew's `postgresql` without a number is a link to the newest.
                let version = if rest.is_empty() { Some(u32::MAX) } else { rest.split('.').next()?.parse().ok() };
                Some((version?, entry.path().join(self.bin)))
            })
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, folder)| folder).collect()
    }
}

/// The major version and the whole of it, as `postgres --version` says it.
fn version(folder: &Path) -> Option<(u32, String)> {
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.3 (Debian 15.3-0+deb12u1)`, `postgres (PostgreSQL) 18beta1`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let found = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits = found.find(|it: char| !it.is_ascii_digit()).unwrap_or(found.len());
    Some((found[..digits].parse().ok()?, found.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes an installation that only says its version.
    ///
    /// The scripts are written by another process: while this one has them open for writing, a program that another test
    /// starts just then has them open too for a moment, and they cannot be run ("text file busy").
    fn installation(folder: &Path, version: &str) {
        fs::create_dir_all(folder).unwrap();
        for name in NEEDED {
            let script = format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'");
            let write = ["-c", "echo \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script];
            assert!(Command::new("sh").args(write).arg(folder.join(name)).status().unwrap().success());
        }
    }

    fn usual(parent: &Path) -> Usual {
        Usual { parent: parent.to_owned(), prefix: "", bin: "bin" }
    }

    #[test]
    fn newest_of_the_usual_place_is_taken_by_number() {
        let place = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "13", "101"] {
            installation(&place.path().join(version).join("bin"), &format!("{version}.1 (Debian)"));
        }
        let found = Binaries::search(iter::empty(), iter::once(usual(place.path()))).unwrap();
        assert_eq!(found, Binaries { folder: place.path().join("101/bin"), version: 101 });
    }

    #[test]
    fn link_in_the_path_leads_to_the_folder_with_all_programs() {
        let place = tempfile::tempdir().unwrap();
        let (real, links) = (place.path().join("real"), place.path().join("links"));
        installation(&real, "14.2");
        fs::create_dir(&links).unwrap();
        symlink(real.join("postgres"), links.join("postgres")).unwrap();
        let found = Binaries::search(iter::once(links), iter::empty()).unwrap();
        assert_eq!(found.version(), 14);
        assert_eq!(found.folder(), fs::canonicalize(real).unwrap());
    }

    #[test]
    fn client_programs_alone_are_no_server() {
        let place = tempfile::tempdir().unwrap();
        installation(&place.path().join("15/bin"), "15.1");
        fs::remove_file(place.path().join("15/bin/initdb")).unwrap();
        let error = Binaries::search(iter::empty(), iter::once(usual(place.path()))).unwrap_err();
        assert!(matches!(error, ServerError::NoBinaries { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&place.path().display().to_string()) && text.contains("apt-get install"), "{text}");
    }

    #[test]
    fn old_version_is_named_unless_there_is_a_newer_one() {
        let place = tempfile::tempdir().unwrap();
        let old = place.path().join("old");
        installation(&old, "12.1");
        let search = || Binaries::search(iter::once(old.clone()), iter::once(usual(&place.path().join("lib"))));
        let error = search().unwrap_err();
        assert!(matches!(error, ServerError::TooOld { .. }), "{error}");
        assert!(error.to_string().starts_with("PostgreSQL 12.1 in "), "{error}");
        installation(&place.path().join("lib/16/bin"), "16.4");
        assert_eq!(search().unwrap().version(), 16);
    }

    #[test]
    fn named_folder_is_taken_or_refused_but_never_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().to_owned();
        let error = Binaries::named(folder.clone()).unwrap_err();
        assert!(matches!(error, ServerError::WrongFolder { .. }), "{error}");
        assert!(error.to_string().contains("no `postgres` in it"), "{error}");
        installation(&folder, "12.1");
        assert!(matches!(Binaries::named(folder.clone()).unwrap_err(), ServerError::TooOld { .. }));
        installation(&folder, "17.0");
        assert_eq!(Binaries::named(folder).unwrap().version(), 17);
    }

    #[test]
    fn versions_are_read_from_what_servers_print() {
        let parse = |text| parse_version(text).map(|(major, _)| major);
        assert_eq!(parse("postgres (PostgreSQL) 15.3 (Debian 15.3-0+deb12u1)\n"), Some(15));
        assert_eq!(parse("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse("postgres (EnterpriseDB) 15.3\n"), None);
        assert_eq!(parse(""), None);
    }
}

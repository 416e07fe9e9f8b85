//! Hazard: a service that would hold what belongs to one scope, a filter on what its table does not have, a request that is given
//! the connection itself. It does not compile, and the compiler says why.
//!
//! Owns the comparison of what the compiler says of each file in `tests/compile_fail` with the text beside it. The compiler is
//! called here itself, over the library that was built for this program: through cargo everything would be built a second time.
//!
//! The messages are those of Rust 1.95. What another compiler says in other words is written beside the messages of this one,
//! in the folder for temporary files that a failure names: it is read, and copied if it says as much.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;
use std::{env, fs};

const FOLDER: &str = "tests/compile_fail";

/// All that the files use, rightly used. The library with which this compiles is the one to ask: what fails over it does not fail
/// for the reason that something is missing.
const CONTROL: &str = r#"
    use unstale::registry::Registry;
    use unstale::table::Select;
    use unstale::{Handle, Record, SqliteSource};

    unstale::table! {
        struct Campaign in "campaign" { id: i64, name: String }
    }

    struct Orders {
        _db: Handle<SqliteSource>,
    }

    fn orders(db: Handle<SqliteSource>) -> Orders {
        Orders { _db: db }
    }

    fn selected() -> Select<Campaign, sqlx::Sqlite> {
        Campaign::all().filter(|it| it.name.like("a%"))
    }

    fn main() {
        let mut services = Registry::<SqliteSource>::builder();
        services.scoped(orders);
        let _ = selected();
    }
"#;

#[test]
fn what_can_only_go_wrong_does_not_compile() {
    let compiler = Compiler::over_this_library();
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(root().join(FOLDER)).expect("the folder of the files") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        files += 1;
        let kept = fs::read_to_string(path.with_extension("stderr")).unwrap_or_default();
        let output = compiler.run(Path::new(FOLDER).join(&name).with_extension("rs").as_os_str());
        let said = as_kept(&String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            wrong.push(format!("{name}.rs compiles"));
        } else if said != kept {
            let new = compiler.folder.join(&name).with_extension("stderr");
            fs::write(&new, &said).expect("written");
            wrong.push(format!("{name}.stderr has\n{kept}\nand the compiler says ({})\n{said}", new.display()));
        }
    }
    assert!(files > 0, "{FOLDER} is empty");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// rustc, with one of the libraries that were built beside this program.
struct Compiler {
    /// Where the libraries are.
    libraries: PathBuf,
    unstale: PathBuf,
    /// The one that it was built over.
    sqlx: PathBuf,
    /// A folder for what is written.
    folder: PathBuf,
}

impl Compiler {
    /// Over the newest library with which the control compiles. There may be several, built with other features or from sources
    /// of long ago.
    fn over_this_library() -> Self {
        let program = env::current_exe().expect("the path of this program");
        let libraries = program.parent().expect("its folder").to_owned();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
        fs::create_dir_all(&folder).expect("a folder");
        let control = folder.join("control.rs");
        fs::write(&control, CONTROL).expect("written");
        let mut why = format!("there is no library in {}", libraries.display());
        for unstale in built(&libraries, "libunstale-").into_iter().filter(|it| is_from_here(it)) {
            for sqlx in built(&libraries, "libsqlx-") {
                let (libraries, unstale, folder) = (libraries.clone(), unstale.clone(), folder.clone());
                let compiler = Self { libraries, unstale, sqlx, folder };
                let output = compiler.run(control.as_os_str());
                if output.status.success() {
                    return compiler;
                }
                why = String::from_utf8_lossy(&output.stderr).into_owned();
            }
        }
        panic!("what is right does not compile:\n{why}");
    }

    fn run(&self, file: &std::ffi::OsStr) -> Output {
        let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.current_dir(root()).arg(file);
        command.args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata"]);
        command.args(["--color", "never", "--diagnostic-width", "140"]).arg("--out-dir").arg(&self.folder);
        command.arg("-L").arg(with("dependency=", &self.libraries));
        command.arg("--extern").arg(with("unstale=", &self.unstale));
        command.arg("--extern").arg(with("sqlx=", &self.sqlx));
        command.output().expect("rustc runs")
    }
}

fn with(key: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(key);
    argument.push(path);
    argument
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The libraries of this name, the newest first.
fn built(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of this program") {
        let entry = entry.expect("a file");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && name.ends_with(".rlib") {
            found.push((entry.metadata().and_then(|it| it.modified()).expect("its time"), entry.path()));
        }
    }
    found.sort();
    found.into_iter().rev().map(|it| it.1).collect()
}

/// Whether this library was built from the sources of this workspace, by the list of its sources that is kept beside it. Messages
/// over another one would name other files.
fn is_from_here(library: &Path) -> bool {
    let name = library.file_stem().expect("a name").to_string_lossy();
    let list = library.with_file_name(name.trim_start_matches("lib")).with_added_extension("d");
    fs::read_to_string(list).is_ok_and(|it| it.lines().any(|line| line == "src/lib.rs:"))
}

/// What the compiler says, without what changes with every edit of the library: the lines at which its sources are shown, and
/// the width of the margin, which is that of the longest line number.
fn as_kept(said: &str) -> String {
    let messages = said.trim_end().split("\n\n");
    let kept = messages.filter(|it| {
        !["error: aborting", "Some errors have", "For more information"].iter().any(|end| it.starts_with(end))
    });
    let mut text = kept.map(without_lines_of_the_library).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

fn without_lines_of_the_library(message: &str) -> String {
    let mut inside = false;
    let mut lines: Vec<Line> = Vec::new();
    for text in message.lines() {
        let line = match Line::of(text) {
            line @ Line::Margin { sign: "-->" | ":::", rest, .. } => {
                let path = rest.trim_start().rsplitn(3, ':').nth(2).unwrap_or_default();
                inside = !path.starts_with(FOLDER);
                if inside { Line::Place { path: path.to_owned() } } else { line }
            }
            Line::Margin { sign, rest, .. } if inside => Line::Margin { number: "", sign, rest },
            line => line,
        };
        lines.push(line);
    }
    let width = lines.iter().map(Line::number_width).max().unwrap_or(0);
    lines.iter().map(|line| line.print(width)).collect::<Vec<_>>().join("\n")
}

/// A line of a message.
enum Line<'a> {
    /// With a margin, in which there may be the number of a line.
    Margin {
        number: &'a str,
        sign: &'a str,
        rest: &'a str,
    },
    /// Where in the library's sources something is.
    Place {
        path: String,
    },
    Plain(&'a str),
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        let number_end = text.len() - text.trim_start_matches(|it: char| it == ' ' || it.is_ascii_digit()).len();
        let (margin, rest) = text.split_at(number_end);
        let number = margin.trim();
        for sign in ["-->", ":::", "|", "="] {
            if let Some(rest) = rest.strip_prefix(sign)
                && !margin.is_empty()
            {
                return Self::Margin { number, sign, rest };
            }
        }
        Self::Plain(text)
    }

    fn number_width(&self) -> usize {
        if let Self::Margin { number, .. } = self { number.len() } else { 0 }
    }

    fn print(&self, width: usize) -> String {
        match self {
            Self::Margin { number: "", sign: sign @ ("-->" | ":::"), rest } => format!("{:width$}{sign}{rest}", ""),
            Self::Margin { number, sign, rest } => format!("{number:>width$} {sign}{rest}").trim_end().to_owned(),
            Self::Place { path } => format!("{:width$}--> {path}", ""),
            Self::Plain(text) => (*text).to_owned(),
        }
    }
}

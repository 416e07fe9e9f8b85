//! House rules, as ordinary tests over the text of the source files.
//!
//! One test per rule; its failure names the files and says what to do. A rule is a pure function from a file to what is
//! wrong in it, and the tests at the end lie to each of them. Not here: what rustc, rustfmt and clippy already check.
//! Nothing is parsed: block ends are found by indentation, which CI's `cargo fmt --check` vouches for.

use std::fs;
use std::path::Path;

/// This file, as the walk has to find it.
const HERE: &str = "tests/it/house_rules.rs";

/// At this length a file has two ideas.
const LINES_MAX: usize = 540;

/// The layers that neither do I/O nor read a clock.
const PURE_LAYERS: [&str; 10] = [
    "harness/src/plan",
    "harness/src/history",
    "harness/src/model",
    "harness/src/oracle",
    "harness/src/report",
    "harness/src/shrink",
    "harness/lab/src/storm/work",
    "harness/lab/src/storm/history",
    "harness/lab/src/storm/judge",
    "harness/lab/src/storm/summary",
];

#[test]
fn no_source_file_is_too_long() {
    check(too_long, "Find the two ideas in the file and give each its own.");
}

#[test]
fn every_source_file_begins_with_a_header() {
    check(
        without_header,
        "Begin the file with `//!` lines: what it owns, who calls it, and what it deliberately does not do.",
    );
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    check(
        left_undone,
        "Finish it or take it out. A test that needs something absent is ignored at run time, with the reason. \
         A lint is switched off with `#[expect(…, reason = \"…\")]`.",
    );
}

#[test]
fn every_public_async_function_documents_cancel_safety() {
    check(
        without_cancel_safety,
        "Add a section `# Cancel safety` to its doc comment: what is true if the future is dropped at any await.",
    );
}

#[test]
fn pure_layers_do_no_io_and_read_no_clock() {
    let files = rust_files();
    for layer in PURE_LAYERS {
        let found = files.iter().any(|file| file.pure_layer() == Some(layer));
        assert!(found, "there is no `{layer}` any more: correct PURE_LAYERS in this file");
    }
    check(
        impure,
        "Let the caller do it and pass in the result, or pass in a function. I/O, clocks and tasks belong to the rim: \
         database, execute, worker, explore.",
    );
}

fn too_long(file: &RustFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is_in("src") && lines > LINES_MAX {
        vec![format!("{}: {lines} lines, {LINES_MAX} at most", file.path)]
    } else {
        Vec::new()
    }
}

fn without_header(file: &RustFile) -> Vec<String> {
    if file.is_in("tests") || file.is_in("benches") || file.text.starts_with("//!") {
        Vec::new()
    } else {
        vec![format!("{}: does not begin with `//!`", file.path)]
    }
}

fn left_undone(file: &RustFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for unwanted in ["#[ignore", "todo!(", "unimplemented!(", "dbg!("] {
        wrong.extend(file.code.match_indices(unwanted).map(|(at, _)| file.at(at, unwanted)));
    }
    for allow in ["#[allow(", "#![allow("] {
        for (at, _) in file.code.match_indices(allow) {
            let attribute = file.code[at..].split(']').next().unwrap_or_default();
            if !attribute.contains("reason") {
                wrong.push(file.at(at, &format!("{allow} without a reason")));
            }
        }
    }
    wrong
}

/// Looks at `pub` functions and at those that traits declare, if they are `async` or return a future. Functions for
/// one crate only (`pub(crate)`) and implementations of traits need no section of their own.
fn without_cancel_safety(file: &RustFile) -> Vec<String> {
    if !file.is_in("src") {
        return Vec::new();
    }
    let code: Vec<&str> = file.code.lines().collect();
    let text: Vec<&str> = file.text.lines().collect();
    let mut wrong = Vec::new();
    let (mut tests_until, mut trait_until) = (0, 0);
    for (at, line) in code.iter().enumerate() {
        let item = line.trim_start();
        if item.starts_with("#[cfg(test)]") {
            tests_until = block_end(&code, at);
        } else if is_trait(item) {
            trait_until = block_end(&code, at);
        }
        let public = item.strip_prefix("pub ").or((at < trait_until).then_some(item));
        if at >= tests_until
            && public.is_some_and(|item| is_async(item, &code[at..]))
            && !docs_above(&code[..at], &text[..at]).any(|doc| doc.trim() == "/// # Cancel safety")
        {
            wrong.push(format!("{}:{}: {}", file.path, at + 1, text[at].trim()));
        }
    }
    wrong
}

fn impure(file: &RustFile) -> Vec<String> {
    if file.pure_layer().is_none() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (at, line) in file.code.lines().enumerate() {
        // Words, so that `use std::{fs, time::Instant}` counts as well.
        for word in line.split(|it: char| !it.is_alphanumeric() && it != '_') {
            let plan_file = word == "fs" && file.path == "harness/src/plan/file.rs";
            if ["sqlx", "tokio", "fs", "Instant"].contains(&word) && !plan_file {
                wrong.push(format!("{}:{}: `{word}`", file.path, at + 1));
            }
        }
    }
    wrong
}

/// Fails with everything the rule finds wrong, and what to do about it.
fn check(rule: fn(&RustFile) -> Vec<String>, advice: &str) {
    let wrong: Vec<String> = rust_files().iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}\n{advice}\n", wrong.join("\n"));
}

/// A file of Rust source.
struct RustFile {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
    /// The text with comments and literals blanked out, every line and column where it was.
    code: String,
}

impl RustFile {
    fn new(path: String, text: String) -> Self {
        let code = blank_out_comments_and_literals(&text);
        Self { path, text, code }
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.split('/').any(|part| part == folder)
    }

    fn pure_layer(&self) -> Option<&str> {
        let is_in = |layer: &&str| self.path.strip_prefix(layer).is_some_and(|rest| rest.starts_with(['/', '.']));
        PURE_LAYERS.into_iter().find(|layer| is_in(layer))
    }

    fn at(&self, offset: usize, what: &str) -> String {
        format!("{}:{}: `{what}`", self.path, self.code[..offset].matches('\n').count() + 1)
    }
}

/// All `.rs` files of the repository, in order, except what was built.
fn rust_files() -> Vec<RustFile> {
    let mut files = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    assert!(files.iter().any(|file| file.path == HERE), "the walk must at least find this file");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<RustFile>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
        let entry = entry.expect("a folder of the repository can be read");
        let name = entry.file_name().into_string().expect("file names of the repository are UTF-8");
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("its type is known").is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file can be read and is UTF-8");
            files.push(RustFile::new(path, text));
        }
    }
}

fn is_trait(item: &str) -> bool {
    ["trait ", "pub trait ", "pub(crate) trait ", "pub(super) trait "].iter().any(|it| item.starts_with(it))
}

/// Whether an item, which goes on in these lines, is an `async fn` or a function that returns a future.
fn is_async(item: &str, lines: &[&str]) -> bool {
    if !item.starts_with("fn ") {
        return item.starts_with("async fn ");
    }
    let last = lines.iter().position(|line| line.ends_with(['{', '}', ';'])).unwrap_or(0);
    let words: Vec<&str> = lines[..=last].iter().flat_map(|line| line.split_whitespace()).collect();
    let signature = words.join(" ");
    let before_bounds = signature.split(" where ").next().unwrap_or_default();
    before_bounds.rsplit_once(") -> ").is_some_and(|(_, returned)| returned.contains("Future<"))
}

/// The first line after the block or item that begins in this line.
fn block_end(code: &[&str], begin: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let ends = |line: &&str| line.ends_with(['}', ';']) && indent(line) == indent(code[begin]);
    code[begin..].iter().position(ends).map_or(code.len(), |lines| begin + lines + 1)
}

/// The doc comment and attributes that end these lines, upwards.
fn docs_above<'a>(code: &'a [&str], text: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let of_this_item = |(code, text): &(&&str, &&str)| !text.is_empty() && !code.ends_with(['{', '}', ';']);
    code.iter().zip(text).rev().take_while(of_this_item).map(|(_, text)| *text)
}

fn blank_out_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let opaque = comment_or_literal(rest);
        let taken = if opaque > 0 { opaque } else { first.len_utf8() };
        let blank = |it: char| if it == '\n' { it } else { ' ' };
        code.extend(rest[..taken].chars().map(|it| if opaque > 0 { blank(it) } else { it }));
        rest = &rest[taken..];
    }
    // No line ends in blanks, so that a rule can look at how it ends in spite of a comment behind it.
    code.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How many bytes of comment or literal this begins with; 0 if it begins with code.
fn comment_or_literal(rest: &str) -> usize {
    let up_to = |end: &str| rest[1..].find(end).map_or(rest.len(), |at| 1 + at + end.len());
    let raw = rest.strip_prefix('r').map(|it| it.trim_start_matches('#')).filter(|it| it.starts_with('"'));
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        up_to("*/")
    } else if let Some(quoted) = raw {
        let hashes = rest.len() - quoted.len() - 1;
        let end = format!("\"{}", "#".repeat(hashes));
        quoted[1..].find(&end).map_or(rest.len(), |at| hashes + 2 + at + end.len())
    } else if rest.starts_with('"') || is_character(rest) {
        quoted(rest)
    } else {
        0
    }
}

/// Whether this begins with a character literal; else its quote belongs to a lifetime.
fn is_character(rest: &str) -> bool {
    rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\''))
}

/// The length of a literal up to the quote it begins with, unless that is escaped.
fn quoted(rest: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, it) in rest.char_indices() {
        match quote {
            None => quote = Some(it),
            Some(_) if escaped => escaped = false,
            Some(_) if it == '\\' => escaped = true,
            Some(quote) if it == quote => return at + it.len_utf8(),
            Some(_) => {}
        }
    }
    rest.len()
}

/// How many findings a rule has in a file with this path and text.
fn findings(rule: fn(&RustFile) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&RustFile::new(path.to_owned(), text.to_owned())).len()
}

#[test]
fn long_file_is_found_in_sources_only() {
    assert_eq!(findings(too_long, "harness/src/a.rs", &"\n".repeat(LINES_MAX)), 0);
    assert_eq!(findings(too_long, "harness/src/a.rs", &"\n".repeat(LINES_MAX + 1)), 1);
    assert_eq!(findings(too_long, "tests/a.rs", &"\n".repeat(LINES_MAX + 1)), 0);
}

#[test]
fn missing_header_is_found() {
    assert_eq!(findings(without_header, "src/a.rs", "use std::fs;\n"), 1);
    assert_eq!(findings(without_header, "src/a.rs", "//! Owns it.\n"), 0);
    assert_eq!(findings(without_header, "benches/a.rs", "use std::fs;\n"), 0);
}

#[test]
fn undone_is_found_in_code_but_not_in_words_about_it() {
    assert_eq!(findings(left_undone, "tests/a.rs", "#[ignore = \"slow\"]\nfn a() { todo!(); dbg!(1); }\n"), 3);
    assert_eq!(findings(left_undone, "src/a.rs", "// todo!()\n/* dbg!(1) */ let a = \"unimplemented!()\";\n"), 0);
    assert_eq!(findings(left_undone, "src/a.rs", "#[allow(dead_code)]\n#![allow(unused)]\n"), 2);
    assert_eq!(findings(left_undone, "src/a.rs", "#[allow(\n    dead_code,\n    reason = \"because\"\n)]\n"), 0);
}

#[test]
fn undocumented_future_is_found() {
    let find = |text| findings(without_cancel_safety, "src/a.rs", text);
    assert_eq!(find("/// Does it.\npub async fn a() {}\n"), 1);
    assert_eq!(find("/// # Cancel safety\n///\n/// Safe.\n#[must_use] // at once\npub async fn a() {}\n"), 0);
    assert_eq!(find("/// # Cancel safety\npub fn b() {}\n\npub async fn a() {}\n"), 1, "that belongs to b");
    assert_eq!(find("trait T {\n    fn a(\n        &self,\n    ) -> impl Future<Output = ()>;\n}\n"), 1);
    assert_eq!(find("trait T {\n    async fn a(&self);\n}\n\nasync fn private() {}\n"), 1);
    assert_eq!(find("impl T for S {\n    fn a(&self) -> impl Future<Output = ()> {\n    }\n}\n"), 0);
    assert_eq!(find("pub fn a(it: impl Future<Output = ()>) -> u8 {\n}\n"), 0, "it takes one");
    assert_eq!(find("#[cfg(test)]\nmod tests {\n    pub async fn a() {}\n}\n\npub async fn b() {}\n"), 1);
}

#[test]
fn impurity_is_found_in_pure_layers_only() {
    assert_eq!(findings(impure, "harness/src/model.rs", "use std::{fs, time::Instant};\nsqlx::query();\n"), 3);
    assert_eq!(findings(impure, "harness/src/oracle/ends.rs", "use tokio::time;\n"), 1);
    assert_eq!(findings(impure, "harness/lab/src/storm/judge.rs", "use tokio::time;\n"), 1);
    assert_eq!(findings(impure, "harness/lab/src/storm/actor.rs", "use tokio::time;\n"), 0);
    assert_eq!(findings(impure, "harness/src/plan/file.rs", "use std::fs;\nuse tokio::fs;\n"), 1);
    assert_eq!(
        findings(impure, "harness/src/model.rs", "/// Never calls sqlx::query.\nlet sqlx_pool = \"tokio\";\n"),
        0
    );
    assert_eq!(findings(impure, "harness/src/execute.rs", "use tokio::time;\n"), 0);
}

#[test]
fn literals_are_blanked_out_and_lifetimes_are_not() {
    let text = "a('\"', '\\'', b\"x\\\"\", r#\"y\"z\"#, r\"\\\") // c\nfn f<'a>(it: &'a str) {}\n";
    let code = blank_out_comments_and_literals(text);
    let kept: Vec<String> = code.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(kept, ["a(,,b,,)", "fnf<'a>(it:&'astr){}"]);
    assert_eq!(code.lines().next().map(|line| line.find(')')), Some(text.find(") //")));
}

//! Rules about the text of one file: its length, its header, what is left undone, what is documented, what is pure.
//!
//! Each is a pure function from a file to what is wrong in it. Not here: who may import whom, which takes more than one file.

use super::source::{RustFile, block_end};

/// A file of more than some 400 lines usually has two ideas. The longest one there is sets this number, and each file that is
/// split lets it come down. It is never met by cutting at a line: only at an idea.
pub(super) const LINES_MAX: usize = 399;

/// The layers that neither do I/O nor read a clock.
pub(super) const PURE_LAYERS: [&str; 24] = [
    "src/session",
    "src/statement",
    "harness/src/invariant",
    "harness/src/capability",
    "harness/src/verdict",
    "harness/src/plan",
    "harness/src/history",
    "harness/src/model",
    "harness/src/oracle",
    "harness/src/generate",
    "harness/src/coverage",
    "harness/src/report",
    "harness/src/shrink",
    "harness/src/extension",
    "harness/src/stage",
    "harness/wire/src/fault",
    "harness/lab/src/sim/request",
    "harness/lab/src/sim/database",
    "harness/lab/src/sim/link",
    "harness/lab/src/sim/server",
    "harness/lab/src/storm/work",
    "harness/lab/src/storm/history",
    "harness/lab/src/storm/judge",
    "harness/lab/src/storm/summary",
];

pub(super) fn too_long(file: &RustFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is_in("src") && lines > LINES_MAX {
        vec![format!("{}: {lines} lines, {LINES_MAX} at most", file.path)]
    } else {
        Vec::new()
    }
}

pub(super) fn without_header(file: &RustFile) -> Vec<String> {
    if file.is_in("tests") || file.is_in("benches") || file.text.starts_with("//!") {
        Vec::new()
    } else {
        vec![format!("{}: does not begin with `//!`", file.path)]
    }
}

pub(super) fn left_undone(file: &RustFile) -> Vec<String> {
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
pub(super) fn without_cancel_safety(file: &RustFile) -> Vec<String> {
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

pub(super) fn impure(file: &RustFile) -> Vec<String> {
    if pure_layer(file).is_none() {
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

/// The pure layer that a file belongs to.
pub(super) fn pure_layer(file: &RustFile) -> Option<&'static str> {
    let is_in = |layer: &&str| file.path.strip_prefix(layer).is_some_and(|rest| rest.starts_with(['/', '.']));
    PURE_LAYERS.into_iter().find(is_in)
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

/// The doc comment and attributes that end these lines, upwards.
fn docs_above<'a>(code: &'a [&str], text: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let of_this_item = |(code, text): &(&&str, &&str)| !text.is_empty() && !code.ends_with(['{', '}', ';']);
    code.iter().zip(text).rev().take_while(of_this_item).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! The repository's Rust files, and their text without comments and literals.
//!
//! Owns the walk, and where a comment, a literal and a block end. It knows no rule. Nothing is parsed: the end of a block is
//! found by indentation, which CI's `cargo fmt --check` vouches for.

use std::fs;
use std::path::Path;

/// A file of Rust source.
pub(super) struct RustFile {
    /// From the root of the repository, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and literals blanked out, every line and column where it was.
    pub(super) code: String,
}

impl RustFile {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = blank_out_comments_and_literals(&text);
        Self { path, text, code }
    }

    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.split('/').any(|part| part == folder)
    }

    /// The code without what is compiled for tests alone, every line where it was.
    pub(super) fn code_without_tests(&self) -> String {
        let lines: Vec<&str> = self.code.lines().collect();
        let mut kept = String::with_capacity(self.code.len());
        let mut tests_until = 0;
        for (at, line) in lines.iter().enumerate() {
            if at >= tests_until && line.trim_start().starts_with("#[cfg(test)]") {
                tests_until = block_end(&lines, at);
            }
            kept.push_str(if at < tests_until { "" } else { line });
            kept.push('\n');
        }
        kept
    }

    pub(super) fn at(&self, offset: usize, what: &str) -> String {
        format!("{}:{}: `{what}`", self.path, self.code[..offset].matches('\n').count() + 1)
    }
}

/// All `.rs` files of the repository, in order, except what was built.
pub(super) fn rust_files() -> Vec<RustFile> {
    let mut files = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    assert!(files.iter().any(|file| file.path.ends_with("/house_rules.rs")), "the walk must at least find the rules");
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

/// The first line after the block or item that begins in this line.
pub(super) fn block_end(code: &[&str], begin: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let ends = |line: &&str| line.ends_with(['}', ';']) && indent(line) == indent(code[begin]);
    code[begin..].iter().position(ends).map_or(code.len(), |lines| begin + lines + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_blanked_out_and_lifetimes_are_not() {
        let text = "a('\"', '\\'', b\"x\\\"\", r#\"y\"z\"#, r\"\\\") // c\nfn f<'a>(it: &'a str) {}\n";
        let code = blank_out_comments_and_literals(text);
        let kept: Vec<String> = code.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(kept, ["a(,,b,,)", "fnf<'a>(it:&'astr){}"]);
        assert_eq!(code.lines().next().map(|line| line.find(')')), Some(text.find(") //")));
    }

    #[test]
    fn what_is_for_tests_alone_is_blanked_out() {
        let text = "use a::A;\n\n#[cfg(test)]\nmod tests {\n    use b::B;\n}\n\nfn f() {}\n";
        let file = RustFile::new("src/a.rs".into(), text.into());
        assert_eq!(file.code_without_tests(), "use a::A;\n\n\n\n\n\n\nfn f() {}\n");
    }
}

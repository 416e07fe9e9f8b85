//! Which file of a crate imports which other file.
//!
//! Owns the reading of `use` declarations and of paths that begin in the crate, and the way from a name to the file that
//! defines it: a name that a module re-exports leads to where it comes from, not to the module. What `mod.rs` and `lib.rs`
//! re-export is a signpost and no import of theirs. It knows no rule. Not read: what a macro expands to, and paths into other
//! crates, which cargo keeps apart.

use std::collections::BTreeMap;

use super::source::RustFile;

/// One file names something of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The file that names it.
    pub(super) from: String,
    /// Where, counted from 1.
    pub(super) line: usize,
    /// The path as it is written there.
    pub(super) path: String,
    /// The file that defines it.
    pub(super) to: String,
}

/// Every import between two files of the crate whose sources are in this folder.
pub(super) fn imports(folder: &str, files: &[RustFile]) -> Vec<Import> {
    let modules = Modules::of(folder, files);
    let mut found: Vec<Import> = Vec::new();
    for (name, module) in &modules.0 {
        for Path { line, segments, .. } in &module.paths {
            let Some(target) = modules.file_of(name, segments) else { continue };
            let path = segments.join("::");
            let known = |it: &Import| it.from == module.file && it.to == target && it.line == *line;
            if target != module.file && !found.iter().any(known) {
                found.push(Import { from: module.file.clone(), line: *line, path, to: target.to_owned() });
            }
        }
    }
    found
}

/// The modules of a crate that have a file, by the names on the way from its root.
struct Modules(BTreeMap<Vec<String>, Module>);

struct Module {
    file: String,
    /// What the file brings into scope, and the path that it has it from.
    names: BTreeMap<String, Vec<String>>,
    /// Every path in the file that may lead to another one.
    paths: Vec<Path>,
}

struct Path {
    line: usize,
    segments: Vec<String>,
}

/// More re-exports than any name passes on its way.
const REEXPORTS_MAX: u32 = 16;

impl Modules {
    fn of(folder: &str, files: &[RustFile]) -> Self {
        let inside = files.iter().filter_map(|file| {
            let name = file.path.strip_prefix(folder)?.strip_suffix(".rs")?;
            let mut names: Vec<String> = name.split('/').map(str::to_owned).collect();
            if names.len() == 1 && names[0] == "lib" || names.last().is_some_and(|last| last == "mod") {
                names.pop();
            }
            Some((names, Module::read(file)))
        });
        Self(inside.collect())
    }

    /// The file that defines what this path, as it stands in this module, leads to. None for another crate's path, for a
    /// name that is no path of the crate, and for a module that only says what is in it.
    fn file_of(&self, module: &[String], path: &[String]) -> Option<&str> {
        let (module, is_whole_module) = self.resolve(module, path, REEXPORTS_MAX)?;
        let file = self.0[&module].file.as_str();
        (!(is_whole_module && is_map(file))).then_some(file)
    }

    /// The module in which a path ends, and whether the path names the module itself.
    fn resolve(&self, module: &[String], path: &[String], reexports_left: u32) -> Option<(Vec<String>, bool)> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => {
                let mut at = module.to_vec();
                at.pop()?;
                while rest.first().is_some_and(|segment| segment == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
                at
            }
            _ if self.0.contains_key(&child(module, first)) => child(module, first),
            _ => {
                let origin = self.0.get(module)?.names.get(first)?;
                return self.resolve_from(module, origin, rest, reexports_left);
            }
        };
        while let Some((segment, behind)) = rest.split_first() {
            let next = child(&at, segment);
            if self.0.contains_key(&next) {
                (at, rest) = (next, behind);
            } else if let Some(origin) = self.0.get(&at).and_then(|it| it.names.get(segment)) {
                let is_foreign = is_map(&self.0[&at].file);
                let origin = self.resolve_from(&at, origin, behind, reexports_left);
                return origin.or((!is_foreign).then_some((at, false)));
            } else {
                break;
            }
        }
        self.0.contains_key(&at).then_some((at, rest.is_empty()))
    }

    fn resolve_from(
        &self,
        module: &[String],
        origin: &[String],
        rest: &[String],
        reexports_left: u32,
    ) -> Option<(Vec<String>, bool)> {
        // A name that resolves to itself is another crate's: `use rand;`.
        let is_foreign = origin.len() == 1 && self.0.get(module).is_some_and(|it| it.names.contains_key(&origin[0]));
        if is_foreign || reexports_left == 0 {
            return None;
        }
        let path: Vec<String> = origin.iter().chain(rest).cloned().collect();
        self.resolve(module, &path, reexports_left - 1)
    }
}

impl Module {
    fn read(file: &RustFile) -> Self {
        let mut code = file.code_without_tests();
        let mut module = Self { file: file.path.clone(), names: BTreeMap::new(), paths: Vec::new() };
        for (begin, end) in use_declarations(&code) {
            let line = line_of(&code, begin);
            let tree = code[begin + "use".len()..end].split_whitespace().collect::<Vec<_>>().join(" ");
            let mut leaves = Vec::new();
            leaves_of(&tree, &[], &mut leaves);
            let is_signpost = is_map(&file.path) && is_reexport(&code[..begin]);
            for (name, segments) in leaves {
                module.names.insert(name, segments.clone());
                if !is_signpost {
                    module.paths.push(Path { line, segments });
                }
            }
            let blank: String = code[begin..end].chars().map(|it| if it == '\n' { it } else { ' ' }).collect();
            code.replace_range(begin..end, &blank);
        }
        let written = written_paths(&code);
        module.paths.extend(written.into_iter().map(|(at, segments)| Path { line: line_of(&code, at), segments }));
        module
    }
}

/// Whether a `use` behind this code is for others: `pub`, `pub(crate)`, `pub(super)`.
fn is_reexport(before: &str) -> bool {
    before.lines().next_back().is_some_and(|line| line.trim_start().starts_with("pub"))
}

/// Whether a file says what is in its folder.
fn is_map(file: &str) -> bool {
    file.ends_with("/mod.rs") || file.ends_with("/lib.rs")
}

fn child(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Where each `use` begins, and its semicolon.
fn use_declarations(code: &str) -> Vec<(usize, usize)> {
    let begins = code.match_indices("use ").map(|(at, _)| at);
    let is_word = |at: &usize| !code[..*at].ends_with(|it: char| it.is_alphanumeric() || it == '_');
    begins.filter(is_word).filter_map(|at| Some((at, at + code[at..].find(';')?))).collect()
}

/// Every name that a `use` brings into scope, with its whole path.
fn leaves_of(tree: &str, before: &[String], leaves: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    if let Some((path, inside)) = tree.split_once('{') {
        let before: Vec<String> = before.iter().cloned().chain(segments(path)).collect();
        for part in parts(inside) {
            leaves_of(part, &before, leaves);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path: Vec<String> = before.iter().cloned().chain(segments(path)).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last() {
        leaves.push((alias.unwrap_or(last).to_owned(), path));
    }
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").map(str::trim).filter(|segment| !segment.is_empty()).map(str::to_owned)
}

/// The parts of a list, up to the brace that ends it.
fn parts(inside: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, it) in inside.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&inside[begin..at]);
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[begin..]);
    parts
}

/// Every path of at least two names in this code, and where it begins.
fn written_paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(begin) = code[at..].find(is_name).map(|it| at + it) {
        let name_at = |at: usize| {
            let name = &code[at..];
            &name[..name.find(|it| !is_name(it)).unwrap_or(name.len())]
        };
        let mut segments = vec![name_at(begin).to_owned()];
        at = begin + segments[0].len();
        while code[at..].starts_with("::") {
            let segment = name_at(at + 2);
            if segment.is_empty() {
                break;
            }
            segments.push(segment.to_owned());
            at += 2 + segment.len();
        }
        // Behind `::` it is the rest of a path that begins with a type; behind a dot it is a field or a method.
        let is_path = segments.len() > 1 && !code[..begin].ends_with("::") && !code[..begin].ends_with('.');
        // An exported macro is found at the root of its crate, wherever it is defined.
        let is_macro = segments.len() == 2 && segments[0] == "crate" && code[at..].starts_with('!');
        if is_path && !is_macro {
            paths.push((begin, segments));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports between files of a crate in `src`, as `from:line -> to`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<RustFile> =
            files.iter().map(|(path, text)| RustFile::new(format!("src/{path}"), (*text).to_owned())).collect();
        let short = |path: &str| path.trim_start_matches("src/").to_owned();
        let show = |it: &Import| format!("{}:{} -> {}", short(&it.from), it.line, short(&it.to));
        imports("src/", &files).iter().map(show).collect()
    }

    #[test]
    fn use_leads_to_the_file_that_defines_the_name() {
        let b = ("b.rs", "pub struct B;\n");
        assert_eq!(found(&[("a.rs", "use crate::b::B;\n"), b]), ["a.rs:1 -> b.rs"]);
        assert_eq!(
            found(&[("a.rs", "//! A.\n\nuse std::fs;\nuse super::b::{self, B as C};\n"), b]),
            ["a.rs:4 -> b.rs"]
        );
        assert_eq!(found(&[("a.rs", "use crate::{\n    b::{B, D},\n};\n"), b]), ["a.rs:1 -> b.rs"]);
        assert_eq!(found(&[("a.rs", "fn f() {\n    use crate::b::B;\n}\n"), b]), ["a.rs:2 -> b.rs"]);
        assert_eq!(found(&[("a.rs", "use other::b::B;\nuse rand;\nfn f() {\n    rand::f();\n}\n"), b]), [""; 0]);
    }

    #[test]
    fn reexported_name_leads_to_where_it_comes_from() {
        let files = [
            ("lib.rs", "mod a;\nmod c;\n"),
            ("a/mod.rs", "mod b;\n\npub use b::B;\n"),
            ("a/b.rs", "pub struct B;\n"),
            ("a/d.rs", "use super::B;\n"),
            ("c.rs", "use crate::a::{self, B};\n\nfn f(it: a::B) {}\n"),
        ];
        assert_eq!(found(&files), ["a/d.rs:1 -> a/b.rs", "c.rs:1 -> a/b.rs", "c.rs:3 -> a/b.rs"]);
        let named = [("a.rs", "pub use crate::b::B;\n"), ("b.rs", "pub struct B;\n")];
        assert_eq!(found(&named), ["a.rs:1 -> b.rs"], "a file that has a name of its own does something");
    }

    #[test]
    fn name_of_another_crate_leads_nowhere() {
        let files =
            [("a/mod.rs", "pub use other::O;\n"), ("a/b.rs", "use super::O;\n"), ("c.rs", "use crate::a::O;\n")];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn path_in_the_code_counts_as_an_import() {
        let b = ("b.rs", "pub fn b() {}\n");
        assert_eq!(found(&[("a.rs", "fn f() {\n    crate::b::b();\n}\n"), b]), ["a.rs:2 -> b.rs"]);
        assert_eq!(found(&[("a.rs", "macro_rules! m {\n    () => { $crate::b::b() };\n}\n"), b]), ["a.rs:2 -> b.rs"]);
        assert_eq!(found(&[("lib.rs", "mod b;\n\nfn f() {\n    b::b();\n}\n"), b]), ["lib.rs:4 -> b.rs"]);
        assert_eq!(found(&[("lib.rs", "mod b;\n"), ("b.rs", "fn f() {\n    crate::m!(1);\n}\n")]), [""; 0]);
        assert_eq!(found(&[("a.rs", "fn f(b: u8) {\n    let c = it.b::<u8>();\n    other::b::b();\n}\n"), b]), [""; 0]);
    }

    #[test]
    fn tests_and_comments_import_nothing() {
        let b = ("b.rs", "pub fn b() {}\n");
        let a = "//! See `crate::b::b`.\n\n// use crate::b::b;\n\n#[cfg(test)]\nmod tests {\n    use crate::b::b;\n}\n";
        assert_eq!(found(&[("a.rs", a), b]), [""; 0]);
    }

    #[test]
    fn child_may_use_what_its_parent_has_in_scope() {
        let files =
            [("a/mod.rs", "mod b;\n\nuse crate::c::C;\n"), ("a/b.rs", "use super::C;\n"), ("c.rs", "pub struct C;\n")];
        assert_eq!(found(&files), ["a/mod.rs:3 -> c.rs", "a/b.rs:1 -> c.rs"]);
    }
}

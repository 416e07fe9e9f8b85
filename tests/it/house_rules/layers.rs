//! Who may import whom inside a crate: the order of its layers, and that no files import each other in a circle.
//!
//! Owns the lists. A layer is a file or a folder; a file belongs to the longest entry that its path begins with. Between
//! crates it is cargo that keeps the order.

use super::imports::Import;

/// The sources of one crate and their layers, from the lowest to the highest. What stands in one line separated by blanks
/// stands beside each other: none of them imports another.
pub(super) struct Layers {
    pub(super) folder: &'static str,
    pub(super) order: &'static [&'static str],
}

/// What is to be done about an import that points upwards, or around.
pub(super) const ADVICE: &str = "Move the value down, or pass it in.";

/// Everything that points upwards, and every file without a layer.
pub(super) fn upward(layers: &Layers, files: &[&str], imports: &[Import]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        if layers.rank(file).is_none() {
            wrong.push(format!("{file}: has no layer: give it a place in the list of `{}`", layers.folder));
        }
    }
    for entry in layers.entries() {
        let is_there = |file: &&str| layers.rank(file).is_some_and(|(_, of)| of == entry);
        if !files.iter().any(is_there) {
            wrong.push(format!(
                "{}{entry}: is in the list of layers and not in the sources: take it out",
                layers.folder
            ));
        }
    }
    for import in imports {
        let (Some(from), Some(to)) = (layers.rank(&import.from), layers.rank(&import.to)) else { continue };
        if from.1 != to.1 && from.0 <= to.0 {
            let Import { from: file, line, path, .. } = import;
            wrong.push(format!("{file}:{line}: `{path}` is not below: `{}` imports `{}`", from.1, to.1));
        }
    }
    wrong
}

/// For each set of files that import each other, of whatever length, its shortest circle.
pub(super) fn circles(imports: &[Import]) -> Vec<String> {
    let mut wrong: Vec<Vec<&Import>> = Vec::new();
    for first in imports {
        let is_in_one = wrong.iter().flatten().any(|it| it.from == first.from);
        if let Some(way) = shortest_way(imports, &first.to, &first.from).filter(|_| !is_in_one) {
            wrong.push([first].into_iter().chain(way).collect());
        }
    }
    let show = |it: &&Import| format!("{}:{}: `{}` leads to {}", it.from, it.line, it.path, it.to);
    wrong.iter().map(|circle| circle.iter().map(show).collect::<Vec<_>>().join("\n    ")).collect()
}

/// The imports that lead from one file to another.
fn shortest_way<'a>(imports: &'a [Import], from: &str, to: &str) -> Option<Vec<&'a Import>> {
    let mut ways: Vec<(&str, Vec<&Import>)> = vec![(from, Vec::new())];
    let mut at = 0;
    while let Some((file, way)) = ways.get(at).cloned() {
        if file == to {
            return Some(way);
        }
        for next in imports.iter().filter(|it| it.from == file) {
            if ways.iter().all(|(known, _)| *known != next.to) {
                ways.push((&next.to, way.iter().copied().chain([next]).collect()));
            }
        }
        at += 1;
    }
    None
}

impl Layers {
    fn entries(&self) -> impl Iterator<Item = &'static str> {
        self.order.iter().flat_map(|line| line.split(' '))
    }

    /// How high a file stands, and the entry that says so.
    fn rank(&self, file: &str) -> Option<(usize, &'static str)> {
        let inside = file.strip_prefix(self.folder)?;
        let has = |entry: &str| inside.strip_prefix(entry).is_some_and(|rest| rest.starts_with(['/', '.']));
        let lines = self.order.iter().enumerate();
        let entries = lines.flat_map(|(rank, line)| line.split(' ').map(move |entry| (rank, entry)));
        entries.filter(|(_, entry)| has(entry)).max_by_key(|(_, entry)| entry.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: Layers = Layers { folder: "src/", order: &["value sibling", "work/low", "work", "lib"] };

    const FILES: [&str; 6] =
        ["src/value.rs", "src/sibling.rs", "src/work/low.rs", "src/work/mod.rs", "src/work/other.rs", "src/lib.rs"];

    fn import(from: &str, to: &str) -> Import {
        Import { from: format!("src/{from}.rs"), line: 7, path: "crate::it".into(), to: format!("src/{to}.rs") }
    }

    fn findings(imports: &[Import]) -> Vec<String> {
        upward(&LAYERS, &FILES, imports)
    }

    #[test]
    fn import_that_points_upwards_is_found() {
        let upward = findings(&[import("value", "work/other")]);
        assert_eq!(upward, ["src/value.rs:7: `crate::it` is not below: `value` imports `work`"]);
        assert_eq!(findings(&[import("work/low", "work/other")]).len(), 1, "the order inside of a folder");
        assert_eq!(findings(&[import("value", "sibling")]).len(), 1, "they stand beside each other");
        let fine = [import("work/other", "work/low"), import("work/other", "work/mod"), import("lib", "value")];
        assert_eq!(findings(&fine), [""; 0]);
    }

    #[test]
    fn list_that_does_not_fit_the_files_is_found() {
        let files = ["src/value.rs", "src/sibling.rs", "src/work/low.rs", "src/work/mod.rs", "src/new.rs"];
        let wrong = upward(&LAYERS, &files, &[]);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("src/new.rs: has no layer"), "{wrong:?}");
        assert!(wrong[1].starts_with("src/lib: is in the list"), "{wrong:?}");
    }

    #[test]
    fn circle_of_any_length_is_found_once() {
        assert_eq!(circles(&[import("a", "b"), import("b", "c"), import("a", "c")]), [""; 0]);
        let two = circles(&[import("a", "b"), import("b", "a")]);
        assert_eq!(two, ["src/a.rs:7: `crate::it` leads to src/b.rs\n    src/b.rs:7: `crate::it` leads to src/a.rs"]);
        let four = [import("z", "a"), import("a", "b"), import("b", "c"), import("c", "d"), import("d", "a")];
        let circles = circles(&four);
        assert_eq!(circles.len(), 1, "{circles:?}");
        assert_eq!(circles[0].lines().count(), 4, "{circles:?}");
    }
}

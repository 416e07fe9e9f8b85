//! House rules, as ordinary tests over the text of the source files.
//!
//! One test per rule; its failure names the files and says what to do. A rule is a pure function from files to what is
//! wrong in them, and tests beside it lie to it. Not here: what rustc, rustfmt and clippy already check.
//!
//! | file | owns |
//! | --- | --- |
//! | `source` | the files, and their text without comments and literals |
//! | `text_rules` | what is wrong in one file |
//! | `imports` | which file imports which |
//! | `layers` | what is wrong with that |
//! | `order` | the layers of each crate, from the lowest to the highest |

#[path = "house_rules/imports.rs"]
mod imports;
#[path = "house_rules/layers.rs"]
mod layers;
#[path = "house_rules/order.rs"]
mod order;
#[path = "house_rules/source.rs"]
mod source;
#[path = "house_rules/text_rules.rs"]
mod text_rules;

use source::{RustFile, rust_files};
use text_rules::{PURE_LAYERS, impure, left_undone, pure_layer, too_long, without_cancel_safety, without_header};

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
        let found = files.iter().any(|file| pure_layer(file) == Some(layer));
        assert!(found, "there is no `{layer}` any more: correct PURE_LAYERS");
    }
    check(
        impure,
        "Let the caller do it and pass in the result, or pass in a function. I/O, clocks and tasks belong to the rim: \
         database, execute, worker, explore.",
    );
}

#[test]
fn file_imports_from_layers_below_its_own_alone() {
    let files = rust_files();
    let wrong: Vec<String> = order::CRATES
        .iter()
        .flat_map(|layers| {
            let of_crate = files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with(layers.folder));
            layers::upward(layers, &of_crate.collect::<Vec<_>>(), &imports::imports(layers.folder, &files))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n{}\n", wrong.join("\n"), layers::ADVICE);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = rust_files();
    let of_crate = |folder: &&str| layers::circles(&imports::imports(folder, &files));
    let wrong: Vec<String> = order::WITHOUT_CIRCLES.iter().flat_map(of_crate).collect();
    assert!(wrong.is_empty(), "\n{}\n{}\n", wrong.join("\n"), layers::ADVICE);
}

/// Fails with everything the rule finds wrong, and what to do about it.
fn check(rule: fn(&RustFile) -> Vec<String>, advice: &str) {
    let wrong: Vec<String> = rust_files().iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}\n{advice}\n", wrong.join("\n"));
}

//! Hazard: a library on one database compiles another one too.

use std::process::Command;

/// Everything that the library depends on with these features, one package a line.
fn packages(features: &str) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["tree", "--offline", "--package", "unstale", "--edges", "no-dev", "--prefix", "none"]);
    let output = cargo.args(["--no-default-features", "--features", features]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Whether a package of this name is among them.
fn has(packages: &str, name: &str) -> bool {
    packages.lines().any(|line| line.split(' ').next() == Some(name))
}

#[test]
fn library_on_one_database_has_no_package_of_the_other() {
    let postgres = packages("postgres");
    assert!(has(&postgres, "sqlx-postgres"), "{postgres}");
    assert!(!has(&postgres, "sqlx-sqlite") && !has(&postgres, "libsqlite3-sys"), "{postgres}");
    let sqlite = packages("sqlite");
    assert!(has(&sqlite, "sqlx-sqlite") && has(&sqlite, "libsqlite3-sys"), "{sqlite}");
    assert!(!has(&sqlite, "sqlx-postgres"), "{sqlite}");
}

#[test]
fn metrics_facade_comes_with_its_feature_alone() {
    assert!(!has(&packages("sqlite"), "metrics"));
    assert!(has(&packages("sqlite,metrics"), "metrics"));
}

//! Hazard: the packed crates lack something that everybody outside of the workspace needs: a file, a feature, a dependency.
//!
//! A crate of its own depends on the crates as they would be published, and runs its tests. It is built with the versions and the
//! profile of this workspace into this workspace's target folder, so that most of what it needs is there. Nothing is downloaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What is packed: the library, and what an application has to have to run a check.
const PACKED: [&str; 3] = ["unstale", "unstale-wire", "unstale-harness"];

/// A test of the harness that is written as somebody outside would write it.
const BANK: &str = include_str!("../../harness/tests/it/own_system.rs");

/// What a service needs of the library.
const SERVICE: &str = r#"
use unstale::{Handle, Policy, SqliteOptions, SqliteSource};

async fn put(db: &Handle<SqliteSource>, k: i64) -> sqlx::Result<()> {
    sqlx::query("insert into kv values (?)").bind(k).execute(db).await.map(drop)
}

#[tokio::test]
async fn service_holds_a_handle() {
    let options = SqliteOptions::from_url("sqlite::memory:").unwrap();
    let sessions = options.open(Policy::for_tests()).await.unwrap();
    let scope = sessions.scope("request");
    sqlx::raw_sql("create table kv (k integer primary key)").execute(&scope).await.unwrap();
    let handle = scope.handle("service");
    put(&handle, 1).await.unwrap();
    scope.end().await.unwrap();
    assert!(put(&handle, 2).await.unwrap_err().to_string().contains("`service`"));
}
"#;

#[test]
fn crate_outside_of_the_workspace_runs_a_check() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let packed = pack(&folder);
    let version = env!("CARGO_PKG_VERSION");
    let patches: String =
        PACKED.iter().map(|name| format!("{name} = {{ path = {:?} }}\n", at(&packed, name))).collect();
    let manifest = format!(
        r#"
[package]
name = "outside"
edition = "2024"
publish = false

[workspace]

[dev-dependencies]
sqlx = {{ version = "0.9", default-features = false, features = ["runtime-tokio", "sqlite"] }}
tokio = {{ version = "1", features = ["macros", "rt"] }}
unstale = {{ version = "{version}", path = {:?} }}
unstale-harness = {{ version = "{version}", path = {:?} }}

[patch.crates-io]
{patches}
{}"#,
        at(&packed, "unstale"),
        at(&packed, "unstale-harness"),
        profile(),
    );
    let root = folder.join("crate");
    for (path, text) in
        [("Cargo.toml", &*manifest), ("src/lib.rs", ""), ("tests/bank.rs", BANK), ("tests/service.rs", SERVICE)]
    {
        write_if_new(&root.join(path), text.as_bytes());
    }
    // The versions that are there.
    fs::copy(workspace().join("Cargo.lock"), root.join("Cargo.lock")).expect("a lock file");
    let said = cargo(&root, &["test", "--offline", "--target-dir"], &target());
    for test in ["careful_bank_passes ... ok", "service_holds_a_handle ... ok"] {
        assert!(said.contains(test), "no `{test}` in:\n{said}");
    }
}

/// Packs the crates and unpacks them; where they are.
fn pack(folder: &Path) -> PathBuf {
    let built = folder.join("packages");
    let mut arguments = vec!["package", "--no-verify", "--offline", "--allow-dirty"];
    for name in PACKED {
        arguments.extend(["-p", name]);
    }
    arguments.push("--target-dir");
    cargo(workspace(), &arguments, &built);
    // Unpacked, every file has a time of long ago, and cargo would not see what has changed.
    let (unpacked, kept) = (folder.join("unpacked"), folder.join("kept"));
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked).expect("a folder");
    for name in PACKED {
        let path = at(&built.join("package"), name).with_added_extension("crate");
        let tar = Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(&unpacked).status().expect("tar runs");
        assert!(tar.success(), "{} cannot be unpacked", path.display());
    }
    mirror(&unpacked, &kept);
    kept
}

/// Makes a folder the same as another, and touches only what is not.
fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for old in names(to).into_iter().filter(|name| !from.join(name).exists()) {
        let path = to.join(old);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            mirror(&from, &to);
        } else {
            write_if_new(&to, &fs::read(&from).expect("a file"));
        }
    }
}

fn names(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").file_name()).collect()
}

fn at(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}-{}", env!("CARGO_PKG_VERSION")))
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where this program was built.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is inside of the target folder").to_owned()
}

/// The workspace's profile for tests: with another one every dependency would be built anew. What is built anew in any case is
/// built as fast as can be.
fn profile() -> String {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).expect("the manifest");
    let begins = manifest.find("[profile.dev]").expect("a profile");
    let mut profile = manifest[begins..].split("\n\n").next().expect("its text").to_owned();
    for name in PACKED {
        profile += &format!("\n[profile.dev.package.{name}]\nopt-level = 0\n");
    }
    profile
}

/// What is the same keeps its time, so that it is not built again.
fn write_if_new(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    if fs::read(path).is_ok_and(|it| it == bytes) {
        return;
    }
    fs::write(path, bytes).expect("written");
}

/// What cargo printed, if it succeeded.
fn cargo(folder: &Path, arguments: &[&str], target: &Path) -> String {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = command.current_dir(folder).args(arguments).arg(target).output().expect("cargo runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo {arguments:?} in {}:\n{said}", folder.display());
    said
}

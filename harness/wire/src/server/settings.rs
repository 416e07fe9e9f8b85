//! What is in a private server's `postgresql.conf`.
//!
//! Owns the defaults, which make it fast and small, and the settings that nobody may change, since safety rests on them. A
//! later line of the file wins, so the order is: defaults, the caller's settings, ours.

use std::fmt::Write;
use std::path::Path;

/// Nothing here changes what a commit means while the machine is up: without `fsync` the operating system still has all that
/// was acknowledged when the server is killed.
const DEFAULTS: [(&str, &str); 16] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "on"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "16MB"),
    ("max_wal_size", "256MB"),
    ("checkpoint_timeout", "1h"),
    ("shared_buffers", "16MB"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("max_connections", "100"),
    ("superuser_reserved_connections", "3"),
    // A session that waits in a deadlock waits for this long until it is noticed.
    ("deadlock_timeout", "20ms"),
    ("lc_messages", "C"),
    ("log_line_prefix", "%m [%p] "),
];

/// The lines to append to the file that `initdb` made.
pub(super) fn text(name: &str, folder: &Path, wanted: &[(&str, &str)]) -> String {
    let folder = folder.to_string_lossy();
    let ours = [
        // By this the processes of this server are told from everybody else's.
        ("cluster_name", name),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", &folder),
        ("unix_socket_permissions", "0700"),
        // As those that `initdb` makes: cheap to compare.
        ("password_encryption", "md5"),
        // Files in the cluster instead of segments elsewhere, which a killed server would leave behind.
        ("dynamic_shared_memory_type", "mmap"),
        // The log is what the server writes to its standard error.
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    let mut text = String::from("\n");
    for (name, value) in DEFAULTS.iter().chain(wanted).chain(&ours) {
        let value = value.replace('\'', "''");
        writeln!(text, "{name} = '{value}'").expect("a string can be written to");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_overrides_defaults_but_not_what_safety_rests_on() {
        let text = text("unstale-a-1", Path::new("/f"), &[("fsync", "on"), ("listen_addresses", "*"), ("x", "it's")]);
        let last = |name: &str| text.lines().rfind(|line| line.starts_with(name)).unwrap().to_owned();
        assert_eq!(last("fsync"), "fsync = 'on'");
        assert_eq!(last("listen_addresses"), "listen_addresses = '127.0.0.1'");
        assert_eq!(last("x"), "x = 'it''s'");
        assert_eq!(last("unix_socket_directories"), "unix_socket_directories = '/f'");
    }
}

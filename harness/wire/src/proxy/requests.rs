//! The client's messages, read as requests.
//!
//! Owns the client's half of the protocol after the startup message: where a request begins and ends, and which text it
//! executes, also if that was sent earlier under a name. Pure, as [`super::frames`]. What a server makes of it is
//! [`super::replies`]' concern.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frames::{Frames, Message, text};

/// How many names of statements, and of portals, are remembered; what comes later has no text.
const NAMES_MAX: usize = 4096;

/// PostgreSQL cuts names off long before.
const NAME_LENGTH_MAX: usize = 256;

/// What a client sent up to the point where it waits for `ReadyForQuery`: a `Query`, or everything up to a `Sync`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The first text that it executes, or else the first that it prepares.
    pub(super) sql: Arc<str>,
    /// Whether it executes anything.
    pub(super) executes: bool,
}

/// The client's half of one connection.
pub(super) struct Requests {
    frames: Frames,
    statements: Names,
    portals: Names,
    /// What was seen of the request that has begun.
    begun: Option<Request>,
}

type Names = BTreeMap<Vec<u8>, Arc<str>>;

impl Requests {
    pub(super) fn new() -> Self {
        let wanted = |tag| matches!(tag, b'Q' | b'P' | b'B' | b'E' | b'C');
        Self { frames: Frames::new(wanted), statements: Names::new(), portals: Names::new(), begun: None }
    }

    /// Whether a request begins with this byte.
    pub(super) fn begins(&self, next: u8) -> bool {
        self.frames.at_boundary() && self.begun.is_none() && is_of_request(next)
    }

    /// Whether the client takes its leave with this byte (Terminate).
    pub(super) fn is_farewell(&self, next: u8) -> bool {
        self.frames.at_boundary() && next == b'X'
    }

    /// Takes bytes up to the end of one message: how many, and the request if it ended with them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Request>) {
        let (taken, message) = self.frames.take(bytes);
        let Some(Message { tag, body }) = message.filter(|it| is_of_request(it.tag)) else { return (taken, None) };
        let begun = self.begun.get_or_insert_with(|| Request { sql: "".into(), executes: false });
        match tag {
            b'Q' => begun.execute(lossy(text(body).0)),
            b'P' => {
                let (name, rest) = text(body);
                let sql = lossy(text(rest).0);
                if begun.sql.is_empty() {
                    begun.sql = sql.clone();
                }
                remember(&mut self.statements, name, sql);
            }
            b'B' => {
                let (portal, rest) = text(body);
                if let Some(sql) = self.statements.get(text(rest).0) {
                    remember(&mut self.portals, portal, sql.clone());
                }
            }
            b'E' => begun.execute(self.portals.get(text(body).0).cloned().unwrap_or_default()),
            b'C' => match body.split_first() {
                Some((b'S', name)) => drop(self.statements.remove(text(name).0)),
                Some((_, name)) => drop(self.portals.remove(text(name).0)),
                None => {}
            },
            _ => {}
        }
        let ends = matches!(tag, b'Q' | b'S' | b'F');
        (taken, self.begun.take_if(|_| ends))
    }

    /// Sees no more requests from here on.
    pub(super) fn go_blind(&mut self) {
        self.frames.go_blind();
    }
}

impl Request {
    fn execute(&mut self, sql: Arc<str>) {
        if !self.executes {
            (self.sql, self.executes) = (sql, true);
        }
    }
}

/// Query, Parse, Bind, Execute, Describe, Close, Flush, Sync, FunctionCall. Not passwords, the data of a COPY and Terminate.
fn is_of_request(tag: u8) -> bool {
    b"QPBEDCHSF".contains(&tag)
}

fn remember(names: &mut Names, name: &[u8], sql: Arc<str>) {
    if name.len() <= NAME_LENGTH_MAX && (names.len() < NAMES_MAX || names.contains_key(name)) {
        names.insert(name.to_vec(), sql);
    } else {
        // An old text under that name would be worse than none.
        names.remove(name);
    }
}

fn lossy(text: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn requests(requests: &mut Requests, messages: &[(u8, &[u8])]) -> Vec<(String, bool)> {
        let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        let mut seen = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (taken, request) = requests.take(rest);
            seen.extend(request.map(|it| (it.sql.to_string(), it.executes)));
            rest = &rest[taken..];
        }
        seen
    }

    #[test]
    fn later_execution_names_the_text_that_was_prepared() {
        let mut client = Requests::new();
        let prepared = requests(&mut client, &[(b'P', b"s1\0select 1\0\0\0"), (b'D', b"Ss1\0"), (b'S', b"")]);
        assert_eq!(prepared, [("select 1".to_owned(), false)]);
        let bound: &[(u8, &[u8])] = &[(b'B', b"\0s1\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0"), (b'S', b"")];
        assert_eq!(requests(&mut client, bound), [("select 1".to_owned(), true)]);
        assert_eq!(requests(&mut client, &[(b'C', b"Ss1\0"), (b'S', b"")]), [(String::new(), false)]);
        assert_eq!(requests(&mut client, &[(b'Q', b"commit\0")]), [("commit".to_owned(), true)]);
    }

    #[test]
    fn request_names_what_it_executes_first_not_what_it_prepares() {
        let mut client = Requests::new();
        requests(&mut client, &[(b'P', b"a\0one\0\0\0"), (b'P', b"b\0two\0\0\0"), (b'S', b"")]);
        let both: &[(u8, &[u8])] = &[
            (b'P', b"c\0three\0\0\0"),
            (b'B', b"p\0b\0"),
            (b'E', b"p\0"),
            (b'B', b"\0a\0"),
            (b'E', b"\0"),
            (b'S', b""),
        ];
        assert_eq!(requests(&mut client, both), [("two".to_owned(), true)]);
    }

    #[test]
    fn request_begins_with_its_first_message_only() {
        let mut client = Requests::new();
        assert!(client.begins(b'P') && !client.begins(b'p') && !client.begins(b'X') && !client.begins(b'd'));
        client.take(&message(b'P', b"\0select 1\0\0\0"));
        assert!(!client.begins(b'S'));
        client.take(&message(b'S', b""));
        assert!(client.begins(b'S'));
    }

    #[test]
    fn names_are_bounded() {
        let mut client = Requests::new();
        for at in 0..NAMES_MAX + 10 {
            client.take(&message(b'P', format!("s{at}\0select {at}\0\0\0").as_bytes()));
        }
        assert_eq!(client.statements.len(), NAMES_MAX);
        client.take(&message(b'P', b"s0\0select 'again'\0\0\0"));
        assert_eq!(&*client.statements[&b"s0"[..]], "select 'again'");
    }
}

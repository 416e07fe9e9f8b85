//! The server's messages, as far as the proxy reads them.
//!
//! Owns the server's half of the protocol. Pure, as [`super::frames`]; nothing is checked against what was asked.

use super::frames::{Frames, Message, text};

/// What one message of the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The client has to answer before the login goes on.
    Challenged,
    /// The client is authenticated, and this process serves it.
    Backend { pid: u32 },
    /// A statement was done.
    Completed { tag: String },
    /// Something was refused, or the connection is about to end.
    Refused { severity: String, code: String, message: String },
    /// The server has answered everything and waits; the status of its transaction.
    Ready { status: u8 },
    /// Rows, notices, settings and so on.
    Other,
}

/// The server's half of one connection.
pub(super) struct Replies {
    frames: Frames,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { frames: Frames::new(|tag| matches!(tag, b'R' | b'K' | b'C' | b'E' | b'Z')) }
    }

    /// Takes bytes up to the end of one message: how many, and what it says if it ended with them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Said>) {
        let (taken, message) = self.frames.take(bytes);
        (taken, message.map(said))
    }

    /// Sees no more messages from here on.
    pub(super) fn go_blind(&mut self) {
        self.frames.go_blind();
    }
}

fn said(Message { tag, body }: Message<'_>) -> Said {
    match (tag, body) {
        // The last two numbers of a login that goes well: AuthenticationOk and AuthenticationSASLFinal.
        (b'R', [0, 0, 0, code, ..]) if !matches!(code, 0 | 12) => Said::Challenged,
        (b'K', [a, b, c, d, ..]) => Said::Backend { pid: u32::from_be_bytes([*a, *b, *c, *d]) },
        (b'Z', [status]) => Said::Ready { status: *status },
        (b'C', body) => Said::Completed { tag: lossy(text(body).0) },
        (b'E', body) => refused(body),
        _ => Said::Other,
    }
}

/// Fields of one letter each. `V` is the severity that is never translated (PostgreSQL 9.6).
fn refused(mut body: &[u8]) -> Said {
    let (mut severity, mut code, mut message) = (String::new(), String::new(), String::new());
    while let Some((field, rest)) = body.split_first().filter(|(field, _)| **field != 0) {
        let (value, rest) = text(rest);
        match field {
            b'V' => severity = lossy(value),
            b'C' => code = lossy(value),
            b'M' => message = lossy(value),
            _ => {}
        }
        body = rest;
    }
    Said::Refused { severity, code, message }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_by(tag: u8, body: &[u8]) -> Option<Said> {
        let length = u32::try_from(body.len() + 4).unwrap();
        let message = [&[tag][..], &length.to_be_bytes(), body].concat();
        let (taken, said) = Replies::new().take(&message);
        assert_eq!(taken, message.len());
        said
    }

    #[test]
    fn messages_say_what_they_say() {
        assert_eq!(said_by(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]), Some(Said::Backend { pid: 258 }));
        assert_eq!(said_by(b'R', &[0, 0, 0, 10, b'S']), Some(Said::Challenged));
        assert_eq!(said_by(b'R', &[0, 0, 0, 0]), Some(Said::Other));
        assert_eq!(said_by(b'Z', b"T"), Some(Said::Ready { status: b'T' }));
        assert_eq!(said_by(b'C', b"INSERT 0 1\0"), Some(Said::Completed { tag: "INSERT 0 1".into() }));
        assert_eq!(said_by(b'D', &[0, 0]), Some(Said::Other));
        let (severity, code, message) = ("FATAL".into(), "57P01".into(), "terminating".into());
        let error = said_by(b'E', b"SFATALE\0VFATAL\0C57P01\0Mterminating\0Fpostgres.c\0\0");
        assert_eq!(error, Some(Said::Refused { severity, code, message }));
    }

    #[test]
    fn broken_messages_say_little_and_do_no_harm() {
        for tag in *b"RKZCE" {
            for body in [&b""[..], b"V", b"Vx", b"\0", b"\0\0", b"\xff\xfe"] {
                said_by(tag, body);
            }
        }
        assert_eq!(said_by(b'Z', b""), Some(Said::Other));
        assert_eq!(said_by(b'K', b"abc"), Some(Said::Other));
    }
}

//! The proxy's own message to the server: a time limit for an idle session.
//!
//! Owns the text, and which messages of the server are the answer to it, and so no client's to see. Pure. It is said by the
//! pipe, to a connection that has nothing under way, and its client is not heard until it was answered.

use super::replies::Said;

/// How far it has come with one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TimeOut {
    /// Nothing is to be said.
    #[default]
    None,
    /// It is to be said.
    Wanted,
    /// It was said and is not answered; whether it was refused so far.
    Asked { refused: bool },
    /// The server knows, and ends the session as soon as it idles.
    Set,
    /// The server does not know such a limit, or its transaction has failed and it listens to nothing but its end.
    Refused,
    /// The server has said that it ends the session.
    Ended,
}

/// The message, for a session in a transaction or outside. PostgreSQL 13 does not know the limit outside.
pub(super) fn message(in_transaction: bool) -> Vec<u8> {
    let limit = if in_transaction { "idle_in_transaction_session_timeout" } else { "idle_session_timeout" };
    let text = format!("set {limit} = 1\0");
    let length = u32::try_from(text.len() + 4).expect("one of two short texts");
    [&b"Q"[..], &length.to_be_bytes(), text.as_bytes()].concat()
}

impl TimeOut {
    /// Whether the client is to be quiet.
    pub(super) fn is_asking(self) -> bool {
        matches!(self, Self::Wanted | Self::Asked { .. })
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::None | Self::Refused)
    }

    /// What it is after the server's next message, if that belongs to its answer.
    pub(super) fn answered(self, said: &Said) -> Option<Self> {
        let Self::Asked { refused } = self else { return None };
        match said {
            Said::Completed { .. } => Some(self),
            Said::Refused { severity, .. } if severity == "ERROR" => Some(Self::Asked { refused: true }),
            Said::Ready { .. } => Some(if refused { Self::Refused } else { Self::Set }),
            _ => None,
        }
    }

    /// What it is after the server's next message for the client.
    pub(super) fn heard(self, said: &Said) -> Self {
        match said {
            // idle_session_timeout, idle_in_transaction_session_timeout.
            Said::Refused { code, .. } if self == Self::Set && matches!(&**code, "57P05" | "25P03") => Self::Ended,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(severity: &str, code: &str) -> Said {
        Said::Refused { severity: severity.into(), code: code.into(), message: String::new() }
    }

    #[test]
    fn answer_ends_with_ready_and_everything_else_is_the_clients() {
        let asked = TimeOut::Asked { refused: false };
        let (done, ready) = (Said::Completed { tag: "SET".into() }, Said::Ready { status: b'I' });
        assert_eq!(asked.answered(&done), Some(asked));
        assert_eq!(asked.answered(&ready), Some(TimeOut::Set));
        for others in [Said::Other, refused("FATAL", "57P01")] {
            assert_eq!(asked.answered(&others), None);
        }
        let in_vain = asked.answered(&refused("ERROR", "42704")).unwrap();
        assert!(in_vain.is_asking());
        assert_eq!(in_vain.answered(&ready), Some(TimeOut::Refused));
        assert_eq!(TimeOut::Set.answered(&ready), None, "the answer was there");
    }

    #[test]
    fn only_the_servers_own_time_out_is_the_evidence() {
        let code = |code| TimeOut::Set.heard(&refused("FATAL", code));
        assert_eq!(["57P05", "25P03", "57P01"].map(code), [TimeOut::Ended, TimeOut::Ended, TimeOut::Set]);
        assert_eq!(TimeOut::None.heard(&refused("FATAL", "57P05")), TimeOut::None);
    }
}

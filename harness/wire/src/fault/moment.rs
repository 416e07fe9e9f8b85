//! The moments of a connection at which a fault can be injected.

use std::fmt;
use std::str::FromStr;

use super::error::FaultError;
use super::table::listed;

/// The point at which a fault is injected.
///
/// A *request* is what a client sends until it waits for an answer. Where the reply counts, only requests that execute
/// something are meant: before a reply to a mere `Parse` nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// When a client has connected, before anything it says is heard.
    Connect,
    /// Now, on connections that have nothing under way.
    Idle,
    /// When a request has begun to arrive, before any of it is passed on.
    BeforeSend,
    /// When a request was passed on, before any of its reply is: the server may have done it or not.
    Sent,
    /// When the server has done a request, before any of its reply is passed on. (Of a reply above 1 MiB, the beginning is.)
    BeforeReply,
    /// When the first message of a reply was passed on, and nothing behind it.
    MidReply,
}

impl Moment {
    /// Every moment, in the order in which a connection passes them.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Idle, Self::BeforeSend, Self::Sent, Self::BeforeReply, Self::MidReply];
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::BeforeSend => "before-send",
            Self::Sent => "sent",
            Self::BeforeReply => "before-reply",
            Self::MidReply => "mid-reply",
        })
    }
}

impl FromStr for Moment {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::ALL.into_iter().find(|moment| moment.to_string() == text).ok_or_else(|| FaultError::Unknown {
            expected: format!("a moment: {}", listed(Self::ALL.map(|moment| moment.to_string()))),
            found: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_print_and_parse() {
        for moment in Moment::ALL {
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        assert_eq!(
            "noon".parse::<Moment>().unwrap_err().to_string(),
            "expected a moment: connect, idle, before-send, sent, before-reply or mid-reply, found `noon`"
        );
    }
}

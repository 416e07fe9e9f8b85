//! What can be done to the network between a client and the server, and when.
//!
//! Owns the values, which of them go together, and how they are printed and parsed. Pure: the proxy injects them.

use std::fmt;
use std::str::FromStr;

/// Something that happens to a connection between a client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkFault {
    /// Nobody listens any more, until healed: who connects is refused.
    Refuse,
    /// The connection is accepted and nothing is ever answered. It is reset when healed.
    HangConnect,
    /// The connection is cut on both sides, without a word (RST).
    Reset,
    /// The connection is closed in order on both sides (FIN).
    Fin,
    /// The server's side is closed; the client's side stays open and silent. Its peer is gone: no healed network brings it
    /// back, and a client that waits for it waits for ever.
    HalfOpen,
    /// Nothing passes in either direction until healed; then everything goes on. What is said meanwhile is not seen either.
    BlackHole,
    /// From here on, each request and each reply is that many milliseconds later, until healed.
    Latency(u16),
    /// So many bytes of the reply are passed on, but never its last one, then the connection is reset.
    CutAfter(u16),
}

/// The point at which a [`NetworkFault`] is injected.
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

/// These words are no network fault, or no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No such word.
    #[error("expected {expected}, found `{found}`")]
    Unknown {
        /// What would have been accepted.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// They do not go together.
    #[error("`{fault}` cannot happen at `{moment}`: {why}")]
    Senseless {
        /// What was to happen.
        fault: NetworkFault,
        /// When.
        moment: Moment,
        /// When it can happen.
        why: &'static str,
    },
}

impl NetworkFault {
    /// Every fault, with a number where it has one.
    pub const ALL: [Self; 8] = [
        Self::Refuse,
        Self::HangConnect,
        Self::Reset,
        Self::Fin,
        Self::HalfOpen,
        Self::BlackHole,
        Self::Latency(20),
        Self::CutAfter(7),
    ];

    /// The moments at which it can happen, in their order.
    pub fn moments(self) -> &'static [Moment] {
        match self {
            Self::Refuse | Self::HangConnect => &[Moment::Connect],
            Self::Reset | Self::Fin | Self::BlackHole | Self::Latency(_) => &Moment::ALL,
            Self::HalfOpen => &[Moment::Idle, Moment::BeforeSend, Moment::Sent, Moment::BeforeReply, Moment::MidReply],
            Self::CutAfter(_) => &[Moment::MidReply],
        }
    }

    /// Whether it can happen then.
    ///
    /// # Errors
    /// [`FaultError::Senseless`], with the reason.
    pub fn check(self, moment: Moment) -> Result<(), FaultError> {
        if self.moments().contains(&moment) {
            return Ok(());
        }
        let why = match self {
            Self::Refuse | Self::HangConnect => "it is about clients that connect",
            Self::HalfOpen => "a connection has no second side before it is made; take `hang-connect`",
            _ => "it counts the bytes of a reply; take `mid-reply`",
        };
        Err(FaultError::Senseless { fault: self, moment, why })
    }

    /// Whether it goes on until it is healed; else it is over at once.
    pub fn lasts(self) -> bool {
        !matches!(self, Self::Reset | Self::Fin | Self::HalfOpen | Self::CutAfter(_))
    }
}

impl Moment {
    /// Every moment, in the order in which a connection passes them.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Idle, Self::BeforeSend, Self::Sent, Self::BeforeReply, Self::MidReply];
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::HangConnect => f.write_str("hang-connect"),
            Self::Reset => f.write_str("reset"),
            Self::Fin => f.write_str("fin"),
            Self::HalfOpen => f.write_str("half-open"),
            Self::BlackHole => f.write_str("black-hole"),
            Self::Latency(ms) => write!(f, "latency-{ms}"),
            Self::CutAfter(bytes) => write!(f, "cut-after-{bytes}"),
        }
    }
}

impl FromStr for NetworkFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let number = |prefix| text.strip_prefix(prefix).and_then(|it| it.parse().ok());
        let plain = Self::ALL.into_iter().find(|it| it.to_string() == text);
        let counted = || number("latency-").map(Self::Latency).or_else(|| number("cut-after-").map(Self::CutAfter));
        // What parses is printed as it was: `latency-007` is no word of a plan.
        plain.or_else(counted).filter(|it| it.to_string() == text).ok_or_else(|| FaultError::Unknown {
            expected: "a network fault: refuse, hang-connect, reset, fin, half-open, black-hole, latency-MILLISECONDS or \
                cut-after-BYTES",
            found: text.into(),
        })
    }
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
        Self::ALL.into_iter().find(|it| it.to_string() == text).ok_or_else(|| FaultError::Unknown {
            expected: "a moment: connect, idle, before-send, sent, before-reply or mid-reply",
            found: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_print_and_parse() {
        for fault in NetworkFault::ALL.into_iter().chain([NetworkFault::Latency(0), NetworkFault::CutAfter(u16::MAX)]) {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for moment in Moment::ALL {
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for wrong in ["", "resets", "latency-", "latency-007", "latency-+7", "latency-65536", "cut-after--1"] {
            assert!(wrong.parse::<NetworkFault>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn senseless_pair_is_refused_with_the_reason() {
        let pairs = NetworkFault::ALL.into_iter().flat_map(|it| Moment::ALL.map(|moment| it.check(moment)));
        assert_eq!(pairs.filter(Result::is_ok).count(), 32);
        let error = NetworkFault::CutAfter(7).check(Moment::Idle).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`cut-after-7` cannot happen at `idle`: it counts the bytes of a reply; take `mid-reply`"
        );
    }
}

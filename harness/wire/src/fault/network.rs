//! What can be done to the network between a client and the server: the table of network faults.
//!
//! Owns each fault with its row, and which moments go with it. How it is injected is the proxy's `disturb`.

use std::fmt;
use std::str::FromStr;

use super::error::FaultError;
use super::moment::Moment;
use super::table::listed;

/// What is known of a network fault.
#[derive(Clone, Copy, Debug)]
pub struct NetworkRow {
    /// How it is written.
    pub word: &'static str,
    /// What the number behind the word counts, if there is one.
    pub unit: Option<&'static str>,
    /// The moments at which it can happen, in their order.
    pub moments: &'static [Moment],
    /// Why not at the others.
    pub otherwise: &'static str,
    /// Whether it goes on until it is healed. One that does not is over at once, and only what it broke remains.
    pub lasts: bool,
    /// Whether it is about the listening socket, and so about every client.
    pub for_everybody: bool,
}

/// At whatever moment, until it is healed.
const ROW: NetworkRow =
    NetworkRow { word: "", unit: None, moments: &Moment::ALL, otherwise: "", lasts: true, for_everybody: false };

/// While a client connects, and at no other moment.
const AT_CONNECT: NetworkRow =
    NetworkRow { moments: &[Moment::Connect], otherwise: "it is about clients that connect", ..ROW };

fault_table! {
    /// Something that happens to a connection between a client and the server. That it landed is reported by the proxy, which
    /// does it.
    pub enum NetworkFault: NetworkRow {
        /// The port is closed until healed: connecting clients are refused.
        Refuse => NetworkRow { word: "refuse", for_everybody: true, ..AT_CONNECT },
        /// The connection is accepted and nothing is ever answered. It is reset when healed.
        HangConnect => NetworkRow { word: "hang-connect", ..AT_CONNECT },
        /// The connection is cut on both sides, without a word (RST).
        Reset => NetworkRow { word: "reset", lasts: false, ..ROW },
        /// The connection is closed in order on both sides (FIN).
        Fin => NetworkRow { word: "fin", lasts: false, ..ROW },
        /// The server's side is closed; the client's side stays open and silent. Its peer is gone: no healed network brings it
        /// back, and a client that waits for it waits for ever.
        HalfOpen => NetworkRow {
            word: "half-open",
            moments: &[Moment::Idle, Moment::BeforeSend, Moment::Sent, Moment::BeforeReply, Moment::MidReply],
            otherwise: "a connection has no second side before it is made; take `hang-connect`",
            lasts: false,
            ..ROW
        },
        /// Nothing passes in either direction until healed; then everything goes on. What is said meanwhile is not seen either.
        BlackHole => NetworkRow { word: "black-hole", ..ROW },
        /// From here on, each request and each reply is that many milliseconds later, until healed.
        Latency(ms: 20) => NetworkRow { word: "latency", unit: Some("MILLISECONDS"), ..ROW },
        /// So many bytes of the reply are passed on, but never its last one, then the connection is reset.
        CutAfter(bytes: 7) => NetworkRow {
            word: "cut-after",
            unit: Some("BYTES"),
            moments: &[Moment::MidReply],
            otherwise: "it counts the bytes of a reply; take `mid-reply`",
            lasts: false,
            ..ROW
        },
        /// Clients that log in are refused as if their password were wrong, until healed: a password or a token has changed, and
        /// the client does not have the new one yet. Who is logged in already stays so.
        RefuseLogin => NetworkRow { word: "refuse-login", ..AT_CONNECT },
    }

    /// Every fault, with a number where it has one.
    pub const ALL;
}

impl NetworkFault {
    /// The moments at which it can happen, in their order.
    pub fn moments(self) -> &'static [Moment] {
        self.row().moments
    }

    /// Whether it can happen then.
    ///
    /// # Errors
    /// [`FaultError::Senseless`], with the reason.
    pub fn check(self, moment: Moment) -> Result<(), FaultError> {
        let NetworkRow { moments, otherwise: why, .. } = self.row();
        if moments.contains(&moment) {
            return Ok(());
        }
        Err(FaultError::Senseless { fault: self.to_string(), moment: moment.to_string(), why })
    }

    /// Whether it lasts until it is healed; otherwise it is over at once.
    pub fn lasts(self) -> bool {
        self.row().lasts
    }

    /// Whether no single connection is meant at that moment: clients that are refused have none, and idle ones do nothing that
    /// could be waited for.
    pub fn is_for_all_at(self, moment: Moment) -> bool {
        self.row().for_everybody || self == Self::RefuseLogin || moment == Moment::Idle
    }

    /// How each is written, a number's unit in its place.
    pub fn words() -> impl Iterator<Item = String> {
        Self::ALL.into_iter().map(|fault| {
            let NetworkRow { word, unit, .. } = fault.row();
            unit.map_or_else(|| word.to_owned(), |unit| format!("{word}-{unit}"))
        })
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print_word())
    }
}

impl FromStr for NetworkFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::parse_word(text).ok_or_else(|| FaultError::Unknown {
            expected: format!("a network fault: {}", listed(Self::words())),
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
        for wrong in ["", "resets", "latency-", "latency-007", "latency-+7", "latency-65536", "cut-after--1"] {
            assert!(wrong.parse::<NetworkFault>().is_err(), "{wrong}");
        }
        assert_eq!(
            "rest".parse::<NetworkFault>().unwrap_err().to_string(),
            "expected a network fault: refuse, hang-connect, reset, fin, half-open, black-hole, latency-MILLISECONDS, \
             cut-after-BYTES or refuse-login, found `rest`"
        );
    }

    #[test]
    fn senseless_pair_is_refused_with_the_reason() {
        let pairs = NetworkFault::ALL.into_iter().flat_map(|fault| Moment::ALL.map(|moment| fault.check(moment)));
        assert_eq!(pairs.filter(Result::is_ok).count(), 33);
        let error = NetworkFault::CutAfter(7).check(Moment::Idle).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`cut-after-7` cannot happen at `idle`: it counts the bytes of a reply; take `mid-reply`"
        );
    }

    #[test]
    fn fault_says_why_it_is_not_at_every_moment() {
        for fault in NetworkFault::ALL {
            let NetworkRow { moments, otherwise, .. } = fault.row();
            assert_eq!(moments.len() < Moment::ALL.len(), !otherwise.is_empty(), "{fault}");
        }
    }
}

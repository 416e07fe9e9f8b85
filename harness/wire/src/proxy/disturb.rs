//! The effect of each network fault: on a connecting client, on an open connection, and on its sockets at the end.
//!
//! Owns the choice of the effect alone: `serve` and `line` carry it out, and a fault that needs a new effect adds it
//! there. Pure.

use std::time::Duration;

use crate::fault::NetworkFault;

/// The fate of a client that has just connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtConnect {
    /// It waits until the network is healed, and is then served.
    Wait,
    /// It waits for so long, and so does everything that it asks later.
    Delay(Duration),
    /// It is never answered, and reset when the network is healed.
    StaySilent,
    /// It is told that its password is wrong, and closed in order.
    RefuseLogin,
    /// Its connection is closed in order.
    Close,
    /// Its connection is reset.
    Reset,
}

/// The fate of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLine {
    /// Its bytes stand still until the network is healed.
    Stand,
    /// Each request and each reply is so much later.
    Delay(Duration),
    /// It ends.
    End,
}

/// How the sockets of a connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// Both are closed in order.
    Close,
    /// The server's is closed, the client's is silent until everything is healed.
    StaySilent,
    /// Both are reset.
    Reset,
}

pub(super) fn at_connect(fault: NetworkFault) -> AtConnect {
    match fault {
        NetworkFault::BlackHole => AtConnect::Wait,
        NetworkFault::Latency(ms) => AtConnect::Delay(Duration::from_millis(ms.into())),
        NetworkFault::HangConnect => AtConnect::StaySilent,
        NetworkFault::RefuseLogin => AtConnect::RefuseLogin,
        NetworkFault::Fin => AtConnect::Close,
        NetworkFault::Refuse | NetworkFault::Reset | NetworkFault::HalfOpen | NetworkFault::CutAfter(_) => {
            AtConnect::Reset
        }
    }
}

pub(super) fn on_line(fault: NetworkFault) -> OnLine {
    match fault {
        NetworkFault::BlackHole => OnLine::Stand,
        NetworkFault::Latency(ms) => OnLine::Delay(Duration::from_millis(ms.into())),
        NetworkFault::Refuse
        | NetworkFault::HangConnect
        | NetworkFault::Reset
        | NetworkFault::Fin
        | NetworkFault::HalfOpen
        | NetworkFault::RefuseLogin
        | NetworkFault::CutAfter(_) => OnLine::End,
    }
}

pub(super) fn at_end(fault: NetworkFault) -> AtEnd {
    match fault {
        NetworkFault::Fin => AtEnd::Close,
        NetworkFault::HalfOpen => AtEnd::StaySilent,
        NetworkFault::Refuse
        | NetworkFault::HangConnect
        | NetworkFault::Reset
        | NetworkFault::BlackHole
        | NetworkFault::Latency(_)
        | NetworkFault::RefuseLogin
        | NetworkFault::CutAfter(_) => AtEnd::Reset,
    }
}

/// After how many bytes a reply is cut, if that is what the fault does: it is met by the bytes of a reply, and by no moment.
pub(super) fn cuts_after(fault: NetworkFault) -> Option<usize> {
    match fault {
        NetworkFault::CutAfter(bytes) => Some(bytes.into()),
        _ => None,
    }
}

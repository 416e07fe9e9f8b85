//! How a connection opens: the client's first message, before there is a server's side.
//!
//! Owns the part of the protocol that has no tags yet. Encryption is answered with `N`: there is none here, and the
//! client goes on in plain text or leaves. Authentication is between the client and the server, but for a login that a fault
//! refuses.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// No server takes a longer one (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_MAX: usize = 10_000;

/// A client asks for each kind of encryption once.
const ASKED_MAX: usize = 4;

/// What a client has said first, with the bytes in which it did.
pub(super) enum Opening {
    /// A connection is to begin.
    Startup(Vec<u8>),
    /// What this backend is doing is to be stopped.
    Cancel { pid: u32, bytes: Vec<u8> },
    /// No startup message of PostgreSQL's protocol 3.
    Strange(Vec<u8>),
}

/// Reads a client's first message.
///
/// Not cancel safe: bytes that were read are lost, and the connection with them.
pub(super) async fn opening(client: &mut TcpStream) -> io::Result<Opening> {
    for _ in 0..ASKED_MAX {
        let mut bytes = vec![0; 8];
        client.read_exact(&mut bytes).await?;
        let (length, code) = (number(&bytes[..4]), number(&bytes[4..]));
        match usize::try_from(length).unwrap_or(usize::MAX) {
            8 if code == SSL || code == GSS => client.write_all(b"N").await?,
            length @ 8..=STARTUP_MAX => {
                bytes.resize(length, 0);
                client.read_exact(&mut bytes[8..]).await?;
                return Ok(match bytes.get(8..12) {
                    Some(pid) if code == CANCEL => Opening::Cancel { pid: number(pid), bytes },
                    _ if code >> 16 == 3 => Opening::Startup(bytes),
                    _ => Opening::Strange(bytes),
                });
            }
            _ => return Ok(Opening::Strange(bytes)),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the client asks for encryption again and again"))
}

/// What a server says to a client whose password is wrong (invalid_password).
pub(super) fn refusal() -> Vec<u8> {
    let fields = ["SFATAL", "VFATAL", "C28P01", "Mpassword authentication failed", "Rauth_failed", ""];
    let body: Vec<u8> = fields.iter().flat_map(|it| it.bytes().chain([0])).collect();
    let length = u32::try_from(body.len() + 4).expect("a short text");
    [&b"E"[..], &length.to_be_bytes(), &body].concat()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

//! Where the messages of PostgreSQL's protocol (version 3) begin and end in a stream of bytes.
//!
//! Owns the cutting and nothing else: what a message says is read by [`super::requests`] and [`super::replies`]. Pure: it is
//! fed bytes as they come, in pieces of any size, and does no I/O. It changes nothing in the stream, and what is no protocol
//! is no error here: from there on it is *blind*, and takes bytes without seeing messages in them.

/// How much of a message's body is kept: enough for the text of a statement.
const KEPT_MAX: usize = 8 << 10;

/// No message of PostgreSQL is longer (`MaxAllocSize`).
const LENGTH_MAX: u32 = 0x3fff_ffff;

/// The tag and the four bytes of the length, which count themselves.
const HEAD: usize = 5;

/// One direction of a connection, after the startup message.
pub(super) struct Frames {
    /// Whether the body of a message with this tag is wanted.
    wanted: fn(u8) -> bool,
    head: [u8; HEAD],
    head_length: usize,
    /// How much of the body is still to come.
    left: usize,
    body: Vec<u8>,
    blind: bool,
}

/// A message that ended.
pub(super) struct Message<'a> {
    pub(super) tag: u8,
    /// The beginning of its body, if that is wanted: 8 KiB at most.
    pub(super) body: &'a [u8],
}

impl Frames {
    pub(super) fn new(wanted: fn(u8) -> bool) -> Self {
        Self { wanted, head: [0; HEAD], head_length: 0, left: 0, body: Vec::new(), blind: false }
    }

    /// Takes bytes up to the end of one message: how many, and the message if it ended with them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Message<'_>>) {
        if self.blind {
            return (bytes.len(), None);
        }
        let of_head = bytes.len().min(HEAD - self.head_length);
        if of_head > 0 {
            self.head[self.head_length..self.head_length + of_head].copy_from_slice(&bytes[..of_head]);
            self.head_length += of_head;
            if self.head_length < HEAD {
                return (of_head, None);
            }
            let [_, length @ ..] = self.head;
            let length = u32::from_be_bytes(length);
            if !(4..=LENGTH_MAX).contains(&length) {
                self.blind = true;
                return (bytes.len(), None);
            }
            self.left = length as usize - 4;
            self.body.clear();
        }
        let tag = self.head[0];
        let of_body = self.left.min(bytes.len() - of_head);
        if (self.wanted)(tag) {
            let kept = of_body.min(KEPT_MAX - self.body.len());
            self.body.extend_from_slice(&bytes[of_head..of_head + kept]);
        }
        self.left -= of_body;
        if self.left > 0 {
            return (of_head + of_body, None);
        }
        self.head_length = 0;
        (of_head + of_body, Some(Message { tag, body: &self.body }))
    }

    /// Whether the next byte is the tag of a message.
    pub(super) fn at_boundary(&self) -> bool {
        self.head_length == 0 && !self.blind
    }

    /// Sees no more messages from here on.
    pub(super) fn go_blind(&mut self) {
        self.blind = true;
    }
}

/// The text up to the next zero byte, and what follows it; all of it where there is none.
pub(super) fn text(body: &[u8]) -> (&[u8], &[u8]) {
    let end = body.iter().position(|it| *it == 0).unwrap_or(body.len());
    (&body[..end], body.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    /// Everything that is seen if the stream comes in these pieces; every byte must be taken.
    fn seen(stream: &[u8], pieces: &[usize]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Frames::new(|_| true);
        let mut seen = Vec::new();
        let mut rest = stream;
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let length = pieces.next().map_or(rest.len(), |it| (*it).clamp(1, rest.len()));
            let (mut piece, after) = rest.split_at(length);
            while !piece.is_empty() {
                let (taken, message) = frames.take(piece);
                seen.extend(message.map(|it| (it.tag, it.body.to_vec())));
                assert!(taken > 0, "nothing is taken of {piece:?}");
                piece = &piece[taken..];
            }
            assert!(frames.body.capacity() <= 2 * KEPT_MAX);
            rest = after;
        }
        seen
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_the_stream_is_split(
            messages in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..12),
            pieces in vec(1_usize..30, 1..8),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
            prop_assert_eq!(seen(&stream, &pieces), messages);
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(stream in vec(any::<u8>(), 0..4000), pieces in vec(1_usize..900, 1..8)) {
            seen(&stream, &pieces);
        }
    }

    #[test]
    fn long_body_is_kept_in_part() {
        let stream = [message(b'Q', &vec![b'x'; 5 * KEPT_MAX]), message(b'S', b"")].concat();
        let seen = seen(&stream, &[1000]);
        assert_eq!(
            seen.iter().map(|(tag, body)| (*tag, body.len())).collect::<Vec<_>>(),
            [(b'Q', KEPT_MAX), (b'S', 0)]
        );
    }

    #[test]
    fn impossible_length_ends_in_blindness() {
        for length in [0_u32, 3, LENGTH_MAX + 1, u32::MAX] {
            let stream = [&b"Q"[..], &length.to_be_bytes(), &message(b'S', b"")].concat();
            assert_eq!(seen(&stream, &[2]), []);
        }
    }
}

//! How a kind of fault is declared: each value with its row beside it.
//!
//! Owns what follows from rows alone: the list of all values in their order, how each prints, and how a word is parsed.

/// Declares a kind of fault. Plans are drawn in the order of the rows, so a new one is added at the end of its list.
///
/// A value may have a number (`Latency(ms: 20)`, of which 20 is the one that is drawn); its word is then followed by it.
/// The values in `also` have rows that are made from what is in them, and are not in the list.
#[doc(hidden)]
#[macro_export]
macro_rules! fault_table {
    (
        $(#[$about:meta])*
        pub enum $Fault:ident: $Row:ty {
            $( $(#[$doc:meta])* $value:ident $(($number:ident: $drawn:literal))? => $row:expr, )+
        }
        $(also {
            $( $(#[$also_doc:meta])* $Also:ident($($field:ident: $Field:ty),+) => $also_row:expr, )+
        })?
        $(#[$about_list:meta])*
        pub const $LIST:ident;
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Fault {
            $( $(#[$doc])* $value $(($crate::fault_table!(@number $number)))?, )+
            $($( $(#[$also_doc])* $Also($($Field),+), )+)?
        }

        impl $Fault {
            $(#[$about_list])*
            pub const $LIST: [Self; [$(stringify!($value)),+].len()] = [$(Self::$value $(($drawn))?),+];

            /// Everything that is known of it.
            pub fn row(self) -> $Row {
                match self {
                    $( Self::$value { .. } => $row, )+
                    $($( Self::$Also($($field),+) => $also_row, )+)?
                }
            }

            /// Its number, if it has one.
            fn number(self) -> Option<u16> {
                let numbers: &[u16] = match self {
                    $( Self::$value $(($number))? => &[$($number)?], )+
                    $($( Self::$Also(..) => &[], )+)?
                };
                numbers.first().copied()
            }

            /// The same fault with this number, if it has one.
            fn with_number(self, number: u16) -> Self {
                let _ = number;
                match self {
                    $( Self::$value { .. } => Self::$value $(({
                        let $number = number;
                        $number
                    }))?, )+
                    $($( Self::$Also(..) => self, )+)?
                }
            }

            /// The value that this text is the word of. What is parsed is printed as it was: `latency-007` is no word.
            fn parse_word(text: &str) -> Option<Self> {
                Self::$LIST.into_iter().find_map(|fault| {
                    let rest = text.strip_prefix(fault.row().word)?;
                    let read = match fault.number() {
                        None => fault,
                        Some(_) => fault.with_number(rest.strip_prefix('-')?.parse().ok()?),
                    };
                    (read.print_word() == text).then_some(read)
                })
            }

            fn print_word(self) -> String {
                let word = self.row().word;
                self.number().map_or_else(|| word.to_owned(), |number| format!("{word}-{number}"))
            }
        }
    };
    (@number $number:ident) => { u16 };
}

/// `a, b or c`.
pub(super) fn listed(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

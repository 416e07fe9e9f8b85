//! What a service is registered and asked for under.

use std::any::{TypeId, type_name};
use std::fmt;
use std::hash::{Hash, Hasher};

/// A type of service, with its name if it has one.
#[derive(Clone, Copy)]
pub struct Key {
    pub(super) id: TypeId,
    pub(super) type_name: &'static str,
    /// None rather than an empty one: most have none, and comparing two empty texts costs more than all the rest.
    pub(super) name: Option<&'static str>,
}

impl Key {
    /// A name that is empty is none.
    pub(super) fn name(name: &'static str) -> Option<&'static str> {
        (!name.is_empty()).then_some(name)
    }

    pub(crate) fn of<T: 'static>(name: &'static str) -> Self {
        Self { id: TypeId::of::<T>(), type_name: type_name::<T>(), name: Self::name(name) }
    }

    /// As it is displayed. A service that takes the scope's handle is named in each scope that builds it.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.type_name.len());
        // A string takes everything.
        let _ = self.write_to(&mut text);
        text
    }

    fn write_to(&self, to: &mut impl fmt::Write) -> fmt::Result {
        write_short(self.type_name, to)?;
        self.name.map_or(Ok(()), |name| {
            to.write_str(" named ")?;
            to.write_str(name)
        })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    /// By the type alone: few services share one, and a key is hashed each time a service is resolved.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes a type's name without the modules: of each path in it the last name. A registry names every service that it
/// builds, so nothing is allocated or searched for twice.
fn write_short(type_name: &str, to: &mut impl fmt::Write) -> fmt::Result {
    let mut name = 0;
    let mut colon_before = false;
    for (at, char) in type_name.char_indices() {
        if char == ':' && colon_before {
            name = at + 1;
        } else if !char.is_alphanumeric() && !matches!(char, '_' | ':' | '{' | '}') {
            let next = at + char.len_utf8();
            to.write_str(&type_name[name..next])?;
            name = next;
        }
        colon_before = char == ':';
    }
    to.write_str(&type_name[name..])
}

#[cfg(test)]
mod tests {
    use super::write_short;

    fn short(type_name: &str) -> String {
        let mut short = String::new();
        write_short(type_name, &mut short).expect("a string takes everything");
        short
    }

    #[test]
    fn type_names_lose_their_modules_and_keep_their_arguments() {
        assert_eq!(short("app::orders::Orders"), "Orders");
        assert_eq!(short("app::main::{{closure}}::Local"), "Local");
        assert_eq!(short("alloc::sync::Arc<dyn app::Mailer>"), "Arc<dyn Mailer>");
        assert_eq!(short("(app::A, core::option::Option<app::b::B>)"), "(A, Option<B>)");
    }
}

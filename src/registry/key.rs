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
        f.write_str(&short(self.type_name))?;
        self.name.map_or(Ok(()), |name| write!(f, " named {name}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A type's name without the modules.
fn short(type_name: &str) -> String {
    let mut short = String::new();
    for part in type_name.split_inclusive(|it: char| !it.is_alphanumeric() && !"_:{}".contains(it)) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn type_names_lose_their_modules_and_keep_their_arguments() {
        assert_eq!(short("app::orders::Orders"), "Orders");
        assert_eq!(short("app::main::{{closure}}::Local"), "Local");
        assert_eq!(short("alloc::sync::Arc<dyn app::Mailer>"), "Arc<dyn Mailer>");
        assert_eq!(short("(app::A, core::option::Option<app::b::B>)"), "(A, Option<B>)");
    }
}

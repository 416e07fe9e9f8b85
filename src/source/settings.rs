//! The settings of a scope: names and values that hold on whatever connection serves it.
//!
//! A plain value. Each database's [`Connection`](super::Connection) sets them; when that is due is decided above.

use std::fmt;
use std::sync::Arc;

/// Names and values of settings, such as a tenant, a role or a search path. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(Option<Arc<[(String, String)]>>);

impl Settings {
    /// Returns these and the others; of two with the same name the other one counts.
    #[cfg(feature = "postgres")]
    pub(crate) fn and(&self, others: impl IntoIterator<Item = (String, String)>) -> Self {
        let all = self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(others).collect();
        Self(Some(all))
    }

    /// The names and values, in the order in which they are set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|all| all.iter()).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Names alone: a value may be a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

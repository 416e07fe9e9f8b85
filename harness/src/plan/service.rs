//! The services of the alphabet: a small application, large enough for what goes wrong between a registry and its services.
//!
//! Owns the dependencies and lifecycles. A system registers and builds the services in its own way; the oracle judges
//! what each was built from.

use std::fmt;

/// One service of the alphabet's application.
///
/// | service | lives | asked for by | needs |
/// | --- | --- | --- | --- |
/// | `settings` | for ever | type | |
/// | `mailer` | for ever | name, tag `channels` | `settings` |
/// | `pager` | for ever | name, tag `channels` | |
/// | `rows` | with a session | type | the session |
/// | `report` | with a session | type | `rows`, `mailer` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub enum Service {
    Settings,
    Mailer,
    Pager,
    Rows,
    Report,
}

impl Service {
    /// Every service, each after those that it needs.
    pub const ALL: [Self; 5] = [Self::Settings, Self::Mailer, Self::Pager, Self::Rows, Self::Report];

    /// Those in the group `channels`, in the order of registration.
    pub const CHANNELS: [Self; 2] = [Self::Mailer, Self::Pager];

    /// The services that can be overridden: those without a session behind them.
    pub const REPLACEABLE: [Self; 3] = [Self::Settings, Self::Mailer, Self::Report];

    /// Whether each session has one of its own.
    pub fn is_scoped(self) -> bool {
        matches!(self, Self::Rows | Self::Report)
    }

    /// The services that it is made from.
    pub fn needs(self) -> &'static [Self] {
        match self {
            Self::Settings | Self::Pager | Self::Rows => &[],
            Self::Mailer => &[Self::Settings],
            Self::Report => &[Self::Rows, Self::Mailer],
        }
    }

    /// Whether it is made from `other`, directly or through others, or is it.
    pub fn depends_on(self, other: Self) -> bool {
        self == other || self.needs().iter().any(|it| it.depends_on(other))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "settings",
            Self::Mailer => "mailer",
            Self::Pager => "pager",
            Self::Rows => "rows",
            Self::Report => "report",
        })
    }
}

/// A request to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// One service.
    One(Service),
    /// Everything with the tag `channels`.
    Channels,
}

impl Wanted {
    /// Every possible request.
    pub const ALL: [Self; 6] = [
        Self::One(Service::Settings),
        Self::One(Service::Mailer),
        Self::One(Service::Pager),
        Self::One(Service::Rows),
        Self::One(Service::Report),
        Self::Channels,
    ];

    /// Whether it is made from this service, or is it.
    pub fn depends_on(self, service: Service) -> bool {
        match self {
            Self::One(wanted) => wanted.depends_on(service),
            Self::Channels => Service::CHANNELS.iter().any(|it| it.depends_on(service)),
        }
    }

    /// Whether it can be resolved within a session only.
    pub fn needs_session(self) -> bool {
        match self {
            Self::One(service) => service.is_scoped(),
            Self::Channels => true,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(service) => service.fmt(f),
            Self::Channels => f.write_str("channels"),
        }
    }
}

/// One service as it was built once; printed `b1`, `b2` … in the order of building.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build(pub u16);

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

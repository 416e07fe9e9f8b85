//! Known causes: which defects are reported already, as a file says it.
//!
//! Owns the format of the file and what is refused in it. A finding of a known cause is counted and not reported again;
//! that is the business of [`mod@crate::explore`] and [`crate::check`].

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::cause::Cause;
use crate::plan::file::{check_version, error_at, text_error};
use crate::plan::{PlanError, VERSION};

/// A cause that is reported already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCause {
    /// The cause; its text is the signature in the file.
    pub cause: Cause,
    /// Where it is reported.
    pub reported: String,
    /// The version since which it is repaired, if it is.
    pub fixed: Option<String>,
    /// Anything else, for people.
    pub note: Option<String>,
}

/// The causes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFile {
    /// In the order of the file.
    pub causes: Vec<KnownCause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(default)]
    cause: Vec<RawCause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCause {
    signature: Spanned<String>,
    reported: Spanned<String>,
    fixed: Option<String>,
    note: Option<String>,
}

impl KnownFile {
    /// Reads a file of known causes.
    ///
    /// # Errors
    /// [`PlanError`], with file, line, column and what was expected.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of such a file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`PlanError::Text`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, PlanError> {
        check_version(text, path)?;
        let raw: Raw = toml::from_str(text).map_err(|error| text_error(text, path, &error))?;
        let mut causes: Vec<KnownCause> = Vec::with_capacity(raw.cause.len());
        for RawCause { signature, reported, fixed, note } in raw.cause {
            let wrong = |at: &Spanned<String>, why: String| Err(error_at(text, path, at.span().start + 1, why));
            let cause = match signature.get_ref().parse::<Cause>() {
                Ok(cause) => cause,
                Err(why) => return wrong(&signature, why.to_string()),
            };
            if causes.iter().any(|it| it.cause == cause) {
                return wrong(&signature, format!("`{cause}` stands here a second time; keep one entry of the two"));
            }
            if reported.get_ref().trim().is_empty() {
                return wrong(&reported, "expected where it is reported, such as the address of an issue".into());
            }
            causes.push(KnownCause { cause, reported: reported.into_inner(), fixed, note });
        }
        Ok(Self { causes })
    }
}

impl fmt::Display for KnownFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        writeln!(f, "version = {VERSION}")?;
        for KnownCause { cause, reported, fixed, note } in &self.causes {
            writeln!(f, "\n[[cause]]\nsignature = {}", quoted(&cause.to_string()))?;
            writeln!(f, "reported = {}", quoted(reported))?;
            for (name, value) in [("fixed", fixed), ("note", note)] {
                if let Some(value) = value {
                    writeln!(f, "{name} = {}", quoted(value))?;
                }
            }
        }
        Ok(())
    }
}

//! Sessions whose scopes have settings: a tenant, a role, a search path.
//!
//! Owns the way in alone. Where settings are set is in `lender` and `lease`; when they are due again, in `call`.

use sqlx::PgConnection;

use crate::sessions::Sessions;
use crate::source::Source;

impl<S: Source<Connection = PgConnection>> Sessions<S> {
    /// Returns the same sessions with these settings for their scopes, beside the ones they have: on whatever connection serves a
    /// scope, they are in force for each of its statements, also after a recovery, and no other scope meets them. A value that is
    /// set twice is the later one.
    ///
    /// They cost each scope a round trip, and its connection a reset, which travels with the next borrower's BEGIN. What a
    /// statement of the scope's own changes in them, as `RESET ALL`, counts until the next call outside of a transaction. A setting
    /// that the server does not know, or refuses, is the error of the scope's first call ([`Error::Database`](crate::Error::Database)).
    /// In a test's fixture they hold for each scope's turns.
    ///
    /// In plain sqlx this is `set_config(name, value, true)` after each BEGIN, or `SET` after each acquire and `RESET` before each
    /// release.
    ///
    /// ```no_run
    /// # async fn invoices(sessions: unstale::Sessions<unstale::PgSource>, tenant: i64) -> Result<(), sqlx::Error> {
    /// // create policy by_tenant on invoice using (tenant = current_setting('app.tenant')::bigint)
    /// let scope = sessions.with_settings([("app.tenant", tenant.to_string())]).scope("invoices");
    /// let mine: i64 = sqlx::query_scalar("select count(*) from invoice").fetch_one(&scope).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_settings<K, V>(&self, settings: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        self.configured(self.settings().and(settings.into_iter().map(|(name, value)| (name.into(), value.into()))))
    }
}

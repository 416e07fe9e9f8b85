//! How a session of the control swaps a row: it reads and writes in one transaction, its own or the one that is open.
//!
//! With [`Flaw::SwapsApart`] there is no transaction around them, and with [`Flaw::SwapsUnlocked`] the row is read without its lock.

use super::Flaw;
use super::connection::{Connection, Source};
use super::lease::Lease;
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::{Command, Key, Value};

impl<S: Source> Lease<S> {
    pub(super) async fn swap(&mut self, key: Key, value: Value) -> Result<Reply, Failure> {
        if self.is_open() || self.has(Flaw::SwapsApart) {
            return self.read_and_write(key, value).await;
        }
        self.whole(async |session| session.read_and_write(key, value).await).await
    }

    async fn read_and_write(&mut self, key: Key, value: Value) -> Result<Reply, Failure> {
        let read = if self.has(Flaw::SwapsUnlocked) {
            self.statement(&Command::Get(key)).await?
        } else {
            Reply::Value(self.get_for_update(key).await?)
        };
        if read != Reply::Value(None) {
            self.statement(&Command::Put(key, value)).await?;
        }
        Ok(read)
    }

    async fn get_for_update(&mut self, key: Key) -> Result<Option<Value>, Failure> {
        self.refuse().await?;
        self.send_what_is_due().await;
        let connection = self.kept();
        let result = self.call(S::CALL_MAX, async { connection.lock().await.get_for_update(key).await }).await;
        self.aborted |= self.is_open() && result.is_err();
        result
    }
}

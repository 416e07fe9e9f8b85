use unstale::source::{ConnectionError, Serve};

impl Serve for sqlx::SqliteConnection {
    type Request = fn(&mut sqlx::SqliteConnection);
    type Reply = ();

    async fn serve(&mut self, request: Self::Request) -> Result<(), ConnectionError> {
        request(self);
        Ok(())
    }
}

fn main() {}

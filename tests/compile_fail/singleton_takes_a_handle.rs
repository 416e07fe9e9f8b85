//! A repository that lives for ever would hold the session of the scope that happened to be first.

use unstale::registry::Registry;
use unstale::{Handle, SqliteSource};

struct Orders {
    _db: Handle<SqliteSource>,
}

fn orders(db: Handle<SqliteSource>) -> Orders {
    Orders { _db: db }
}

fn main() {
    let mut services = Registry::<SqliteSource>::builder();
    services.singleton(orders);
}

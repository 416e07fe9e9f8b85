//! Whoever held a scope would keep it from ending.

use unstale::registry::Registry;
use unstale::{Scope, SqliteSource};

struct Orders {
    _scope: Scope<SqliteSource>,
}

fn main() {
    let mut services = Registry::<SqliteSource>::builder();
    services.scoped(|scope: Scope<SqliteSource>| Orders { _scope: scope });
}

//! Hazard: what the application hands in panics, in the middle of what the library has to do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use unstale::registry::Registry;

use crate::bed::{Fresh, put};
use crate::hazards::bed::only_one;

/// A service that panics when its scope ends.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("in a service's drop");
    }
}

#[tokio::test]
async fn service_that_panics_when_it_is_dropped_keeps_no_connection() {
    let fresh = Fresh::with(only_one()).await;
    let mut services = Registry::builder();
    services.scoped(|| Fragile);
    let registry = services.build().expect("they fit together");
    let scope = fresh.sessions.scope("request");
    drop(registry.enter(&scope).resolve::<Fragile>().await.expect("resolved"));
    put(&scope, 1, 1).await.expect("put");
    let kept = scope.handle("kept elsewhere");
    catch_unwind(AssertUnwindSafe(|| drop(scope))).expect_err("its panic");
    put(&fresh.sessions.scope("second"), 2, 2).await.expect("the connection came back");
    assert_eq!(fresh.sessions.health().scopes, 0);
    drop(kept);
}

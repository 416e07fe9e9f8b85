//! Tables over PostgreSQL: placeholders and quotes are the database's own.

mod pg_support;

use std::process::ExitCode;

use pg_support::Fresh;
use unstale::{PgSource, Record, Table, table};
use unstale_wire::trial;
use unstale_wire::trials;

fn main() -> ExitCode {
    trials::run([trial!(rows_are_inserted_found_listed_and_deleted)])
}

table! {
    #[derive(Clone, Debug, PartialEq)]
    struct Pair in "kv" {
        k: i64,
        v: i64,
    }
}

async fn rows_are_inserted_found_listed_and_deleted() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let pairs: Table<Pair, PgSource> = Table::new(scope.handle("Pairs"));
    for k in 1..=4 {
        pairs.insert(&Pair { k, v: k * 10 }).await.expect("inserted");
    }
    assert_eq!(pairs.find(3).await.expect("asked"), Some(Pair { k: 3, v: 30 }));
    assert!(pairs.update(&Pair { k: 3, v: 31 }).await.expect("updated"));
    let some = Pair::all().filter(|it| it.v.more(10)).sort(|it| it.v.descending());
    assert_eq!(pairs.list(some).await.expect("asked").iter().map(|it| it.v).collect::<Vec<_>>(), [40, 31, 20]);
    assert_eq!(pairs.page(Pair::all(), 2, 3).await.expect("asked").rows, [Pair { k: 4, v: 40 }]);
    assert!(pairs.delete(1).await.expect("deleted"));
    assert_eq!(pairs.count(Pair::all()).await.expect("asked"), 3);
    scope.end().await.expect("end");
}
